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
    found = dict(_flags(wheel))
    flags, switches = sorted(found), sorted(flag for flag, is_switch in found.items() if is_switch)
    table = TABLES / f"vllm-{version}.json"
    document = {"sources": [f"vllm {version}"], "flags": flags, "switches": switches}
    table.write_text(json.dumps(document, indent=1) + "\n")
    print(f"{table}: {len(flags)} flags")
    return 0


def _flags(wheel: Path) -> Iterator[tuple[str, bool]]:
    """Each flag, and whether it is a switch: `store_true`, which has no `--no-` form."""
    with zipfile.ZipFile(wheel) as archive:
        for name in _PARSER:
            for node in ast.walk(ast.parse(archive.read(name))):
                if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("add_argument"):
                    words = [word.value for word in node.args if isinstance(word, ast.Constant)]
                    actions = [ast.unparse(given.value) for given in node.keywords if given.arg == "action"]
                    is_switch = actions == ["'store_true'"]
                    for word in words:
                        if isinstance(word, str) and word.startswith("--"):
                            yield word[2:], is_switch


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
