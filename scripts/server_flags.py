"""Makes the tables of the flags that `vllm serve` takes: `python -m scripts.server_flags VLLM.whl`.

The source is read, not run: a flag is what `add_argument` is given in the files that make up the parser of `serve`.
"""

from __future__ import annotations

import ast
import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from bundler.manifest.tables import TABLES

_PARSER = ("vllm/engine/arg_utils.py", "vllm/entrypoints/openai/cli_args.py", "vllm/entrypoints/cli/serve.py")


def main(arguments: list[str]) -> int:
    wheel = Path(arguments[0])
    version = wheel.name.split("-")[1]
    flags = sorted(set(_flags(wheel)))
    table = TABLES / f"vllm-{version}.json"
    table.write_text(json.dumps({"sources": [f"vllm {version}"], "flags": flags}, indent=1) + "\n")
    print(f"{table}: {len(flags)} flags")
    return 0


def _flags(wheel: Path) -> Iterator[str]:
    with zipfile.ZipFile(wheel) as archive:
        for name in _PARSER:
            for node in ast.walk(ast.parse(archive.read(name))):
                if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("add_argument"):
                    words = [word.value for word in node.args if isinstance(word, ast.Constant)]
                    yield from (word[2:] for word in words if isinstance(word, str) and word.startswith("--"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
