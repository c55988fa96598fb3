"""Two threads that write the same blob at once: both well, and the blob is right."""

from __future__ import annotations

import threading
from pathlib import Path

from bundler.core.descriptor import Descriptor
from bundler.store.layout import Store

CONTENT = b"0123456789" * 100_000
BLOB = Descriptor.of(CONTENT, "application/octet-stream")


def test_two_writers_of_one_blob_do_not_mix_their_bytes(tmp_path: Path) -> None:
    store = Store.create(tmp_path)
    with store.writer(BLOB.digest, BLOB.size) as one, store.writer(BLOB.digest, BLOB.size) as two:
        for start in range(0, BLOB.size, 100_000):
            one.write(CONTENT[start : start + 100_000])
            two.write(CONTENT[start : start + 100_000])
        one.commit()
        two.commit()
    assert store.path(BLOB.digest).read_bytes() == CONTENT
    assert list(store.partial.iterdir()) == []


def test_many_threads_that_put_the_same_small_blob_leave_it_whole(tmp_path: Path) -> None:
    store = Store.create(tmp_path)
    threads = [threading.Thread(target=store.put, args=(CONTENT, BLOB.media_type)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.read(BLOB.digest) == CONTENT


def test_what_one_writer_began_the_next_goes_on_with(tmp_path: Path) -> None:
    store = Store.create(tmp_path)
    with store.writer(BLOB.digest, BLOB.size) as writer:
        writer.write(CONTENT[:400_000])
    assert store.begun(BLOB) == 400_000
    with store.writer(BLOB.digest, BLOB.size) as writer:
        assert writer.offset == 400_000
        writer.write(CONTENT[400_000:])
        writer.commit()
    assert store.begun(BLOB) == 0
    assert store.has(BLOB)
