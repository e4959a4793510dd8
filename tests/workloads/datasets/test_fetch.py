"""Downloads from a real server: resumed, bounded, compared with the first bytes ever seen; archives read safely."""

from __future__ import annotations

import hashlib
import io
import json
import random
import stat
import threading
import zipfile
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from tunebench.workloads.datasets import archive, fetch
from tunebench.workloads.datasets.base import DataUnavailable
from tunebench.workloads.datasets.fetch import Limits, Source
from tunebench.workloads.datasets.store import Store

FAST = Limits(idle_s=0.5, total_s=10, attempts=3, pause_s=0.001)


@dataclass
class Page:
    """What the server does with one file; ``cut`` holds the bytes after which each answer in turn breaks off."""

    body: bytes
    ranges: bool = True
    etag: str = '"one"'
    cut: list[int] = field(default_factory=list)
    claims_b: int | None = None  # a Content-Length that lies
    says_length: bool = True
    statuses: list[int] = field(default_factory=list)  # answers before the file
    location: str = ""
    stalls: bool = False
    wrong_part: bool = False


class Site:
    def __init__(self):
        self.pages: dict[str, Page] = {}
        self.asked: list[tuple[str, str | None]] = []  # path, Range
        self.awake = threading.Event()
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                site.asked.append((self.path, self.headers.get("Range")))
                self.close_connection = True
                site.answer(self, site.pages[self.path])

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def close(self):
        self.awake.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)

    def answer(self, handler, page):
        status = page.statuses.pop(0) if page.statuses else 200
        if status != 200:
            handler.send_response(status)
            handler.send_header("Location", page.location)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        start, wanted = 0, handler.headers.get("Range")
        if page.ranges and wanted and handler.headers.get("If-Range", page.etag) == page.etag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(page.body):
                handler.send_response(416)
                handler.send_header("Content-Length", "0")
                handler.end_headers()
                return
        rest = page.body[start:]
        handler.send_response(206 if start else 200)
        if start:
            first = 0 if page.wrong_part else start
            handler.send_header("Content-Range", f"bytes {first}-{len(page.body) - 1}/{len(page.body)}")
        if page.etag:
            handler.send_header("ETag", page.etag)
        if page.says_length:
            handler.send_header("Content-Length", str(len(rest) if page.claims_b is None else page.claims_b))
        handler.end_headers()
        if page.stalls:
            self.awake.wait(5)
            return
        handler.wfile.write(rest[: page.cut.pop(0)] if page.cut else rest)

    def put(self, name, body, **how):
        self.pages[f"/{name}"] = Page(body, **how)
        return Source(name, f"{self.url}/{name}", f"{self.url}/{name}")


@pytest.fixture
def site(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    made = Site()
    yield made
    made.close()


BODY = random.Random(0).randbytes(1_000_000)


def zipped(members, compression=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as made:
        for name, data in members.items():
            made.writestr(name, data)
    return buffer.getvalue()


def get(source, folder, messages=None, accept=lambda path: None, limits=FAST):
    progress = None if messages is None else lambda *news: messages.append(news)
    return fetch.fetch(source, folder, accept=accept, progress=progress, limits=limits)


def test_a_file_arrives_whole_with_progress_to_the_end(site, tmp_path):
    messages = []
    source = site.put("a.bin", BODY)
    path = get(source, tmp_path / "new", messages)
    assert path.read_bytes() == BODY
    shares = [share for _, share in messages]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert 0 < shares[0] < 1
    assert messages[0][0].startswith("downloading a.bin: ")
    assert messages[0][0].endswith(" of 1.0 MB")
    assert sorted(item.name for item in path.parent.iterdir()) == ["a.bin", "a.bin.lock"]
    get(source, path.parent)
    assert len(site.asked) == 1, "what is there is not asked for again"


def test_a_connection_cut_midway_is_resumed_where_it_broke(site, tmp_path):
    source = site.put("a.bin", BODY, cut=[300_000, 400_000])
    assert get(source, tmp_path).read_bytes() == BODY
    assert [wanted for _, wanted in site.asked] == [None, "bytes=300000-", "bytes=700000-"]


def test_the_next_run_goes_on_from_what_is_kept(site, tmp_path):
    source = site.put("a.bin", BODY, cut=[100_000, 0, 0, 0])
    with pytest.raises(
        DataUnavailable, match=r"a\.bin from .* in 3 attempts: .*100000 bytes are kept"
    ) as error:
        get(source, tmp_path)
    assert "the connection ended after 100000 of 1000000 bytes" in str(error.value)
    assert "place it in a folder" in str(error.value)
    assert not (tmp_path / "a.bin").exists()
    site.pages["/a.bin"].cut.clear()
    assert get(source, tmp_path).read_bytes() == BODY
    assert site.asked[-1] == ("/a.bin", "bytes=100000-")


def test_a_server_that_ignores_range_sends_all_of_it_again(site, tmp_path):
    source = site.put("a.bin", BODY, ranges=False, cut=[300_000])
    assert get(source, tmp_path).read_bytes() == BODY
    assert [wanted for _, wanted in site.asked] == [None, "bytes=300000-"]


@pytest.mark.parametrize("etag", ['"two"', ""])
def test_two_versions_are_never_glued_together(site, tmp_path, etag):
    source = site.put("a.bin", b"old" + BODY, etag='"one"' if etag else "", cut=[300_000] * 3)
    with pytest.raises(DataUnavailable):
        get(source, tmp_path)
    site.put("a.bin", BODY, etag=etag)
    assert get(source, tmp_path).read_bytes() == BODY


def test_a_server_that_sends_another_part_than_asked_for_is_not_believed(site, tmp_path):
    source = site.put("a.bin", BODY, cut=[300_000], wrong_part=True)
    assert get(source, tmp_path).read_bytes() == BODY
    assert [wanted for _, wanted in site.asked] == [None, "bytes=300000-", None]


def test_more_kept_than_the_server_has_begins_anew(site, tmp_path):
    source = site.put("a.bin", BODY, cut=[300_000] * 3, ranges=False)
    with pytest.raises(DataUnavailable):
        get(source, tmp_path)
    site.put("a.bin", BODY[:1000])
    assert get(source, tmp_path).read_bytes() == BODY[:1000]


def test_a_length_that_promises_too_much_is_an_unfinished_download(site, tmp_path):
    source = site.put("a.bin", BODY, claims_b=2_000_000)
    with pytest.raises(DataUnavailable, match="the connection ended after"):
        get(source, tmp_path)
    assert not (tmp_path / "a.bin").exists()


def test_a_length_that_promises_too_little_is_found_by_the_look_at_the_file(site, tmp_path):
    body = zipped({"a.txt": BODY})
    source = site.put("a.zip", body, claims_b=len(body) // 2)
    store = Store(None, tmp_path, download=True, limits=FAST)
    with pytest.raises(DataUnavailable, match=r"a\.zip\.part is damaged .*not a sound zip"):
        store.obtain(source)
    assert [item.name for item in tmp_path.iterdir()] == ["a.zip.lock"], "nothing of it is kept or recorded"


def test_no_length_at_all_ends_with_the_connection(site, tmp_path):
    messages = []
    source = site.put("a.bin", BODY, says_length=False)
    assert get(source, tmp_path, messages).read_bytes() == BODY
    assert {share for _, share in messages[:-1]} == {0.0}
    assert messages[-1] == ("downloaded a.bin", 1.0)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"says_length": False}, "the server sent"),
        ({}, "the server announces 1000000 bytes, at most 500000"),
    ],
)
def test_too_large_a_file_is_refused_by_its_length_and_by_its_bytes(site, tmp_path, how, words):
    source = replace(site.put("a.bin", BODY, **how), max_b=500_000)
    with pytest.raises(DataUnavailable, match=words):
        get(source, tmp_path)
    assert not list(tmp_path.glob("a.bin*[!k]")), "no part of it stays on the disk"
    assert len(site.asked) == 1


def test_a_server_in_trouble_is_asked_again_and_a_plain_no_is_not(site, tmp_path):
    source = site.put("a.bin", BODY, statuses=[503, 429])
    assert get(source, tmp_path).read_bytes() == BODY
    gone = site.put("b.bin", BODY, statuses=[404] * 3)
    with pytest.raises(DataUnavailable, match=r"b\.bin answers 404 Not Found.*b\.bin comes from"):
        get(gone, tmp_path)
    assert [path for path, _ in site.asked].count("/b.bin") == 1


def test_silence_is_bounded(site, tmp_path):
    source = site.put("a.bin", BODY, stalls=True)
    with pytest.raises(DataUnavailable, match="timed out"):
        get(source, tmp_path, limits=replace(FAST, idle_s=0.05, attempts=2))
    assert len(site.asked) == 2


def test_the_whole_download_is_bounded(site, tmp_path):
    source = site.put("a.bin", BODY)
    with pytest.raises(DataUnavailable, match="in 1 attempts: not done within 0 s"):
        get(source, tmp_path, limits=replace(FAST, total_s=0))


@pytest.mark.parametrize(
    "url", ["http://example.org/a", "file:///etc/passwd", "ftp://127.0.0.1/a", "http://127.0.0.1.evil.org/a"]
)
def test_only_https_is_downloaded(tmp_path, url):
    with pytest.raises(DataUnavailable, match="only https"):
        get(Source("a", "home", url), tmp_path)


def test_a_redirect_away_from_https_is_not_followed(site, tmp_path):
    source = site.put("a.bin", BODY, statuses=[302], location="http://example.org/a.bin")
    with pytest.raises(DataUnavailable, match=r"http://example\.org/a\.bin: only https"):
        get(source, tmp_path)
    site.put("b.bin", BODY)
    moved = site.put("a.bin", b"", statuses=[302], location=f"{site.url}/b.bin")
    assert get(moved, tmp_path).read_bytes() == BODY


def test_two_processes_do_not_write_one_part(site, tmp_path):
    source = site.put("a.bin", BODY)

    def second(_):
        with pytest.raises(DataUnavailable, match="by another process"):
            get(replace(source, name="a.bin"), tmp_path)

    assert get(source, tmp_path, accept=second).read_bytes() == BODY


def test_a_folder_that_cannot_be_written_is_named(site, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataUnavailable, match=f"cannot write {tmp_path}/file/cache/a.bin"):
        get(site.put("a.bin", BODY), tmp_path / "file" / "cache")


# the store: local copy, cache, download; hashes pinned or recorded


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "local", tmp_path / "cache", download=True, limits=FAST)


def test_nothing_is_downloaded_unless_asked_for(site, store):
    source = site.put("a.zip", zipped({"a": b"1"}))
    with pytest.raises(DataUnavailable, match=r"no file .*/local/a\.zip; .*tunebench prepare --download"):
        replace(store, download=False).obtain(source)
    assert site.asked == []
    assert not store.cache_dir.exists()


def test_an_unknown_hash_is_recorded_and_the_cache_is_used_ever_after(site, store):
    body = zipped({"a": b"1"})
    source = site.put("a.zip", body)
    file = store.obtain(source)
    assert file.sha256 == hashlib.sha256(body).hexdigest()
    record = json.loads((store.cache_dir / "a.zip.json").read_text())
    assert record["sha256"] == file.sha256
    assert record["url"] == source.url
    assert store.obtain(source) == replace(store, download=False).obtain(source) == file
    assert len(site.asked) == 1


def test_a_file_that_changed_at_its_home_is_an_error_with_both_hashes(site, store):
    source = site.put("a.zip", zipped({"a": b"1"}))
    old = store.obtain(source)
    old.path.unlink()
    changed = zipped({"a": b"2"})
    site.put("a.zip", changed)
    new = hashlib.sha256(changed).hexdigest()
    with pytest.raises(DataUnavailable, match=f"SHA-256 {new}, but {old.sha256} was recorded at first use"):
        store.obtain(source)
    assert not old.path.exists()
    (store.cache_dir / "a.zip.json").unlink()  # as the message says
    assert store.obtain(source).sha256 == new


def test_a_cached_file_that_was_altered_is_an_error(site, store):
    source = site.put("a.zip", zipped({"a": b"1"}))
    file = store.obtain(source)
    file.path.write_bytes(zipped({"a": b"3"}))
    with pytest.raises(DataUnavailable, match=f"{file.sha256} was recorded"):
        store.obtain(source)


def test_a_local_copy_comes_before_cache_and_download_and_is_recorded_too(site, store):
    source = replace(site.put("a.zip", zipped({"a": b"1"})), also=("other name.zip",))
    store.data_dir.mkdir()
    local = store.data_dir / "other name.zip"
    local.write_bytes(zipped({"a": b"1"}))
    assert store.obtain(source).path == local
    assert site.asked == []
    local.write_bytes(zipped({"a": b"2"}))
    with pytest.raises(DataUnavailable, match="recorded at first use"):
        store.obtain(source)


def test_a_pinned_hash_refuses_other_bytes_and_keeps_none(site, store):
    source = replace(site.put("a.zip", zipped({"a": b"1"})), sha256="0" * 64)
    with pytest.raises(DataUnavailable, match="expected 0000"):
        store.obtain(source)
    assert [item.name for item in store.cache_dir.iterdir()] == ["a.zip.lock"]


def test_a_damaged_record_is_named(site, store):
    source = site.put("a.zip", zipped({"a": b"1"}))
    store.obtain(source)
    (store.cache_dir / "a.zip.json").write_text("{")
    with pytest.raises(DataUnavailable, match=r"record of a hash is damaged: .*a\.zip\.json.*remove it"):
        store.obtain(source)


def test_what_was_converted_is_kept_and_made_again_only_if_damaged(store):
    made = []

    def make():
        made.append(1)
        return {"x": np.arange(1000)}

    for _ in range(2):
        assert np.array_equal(store.converted("key", make)["x"], np.arange(1000))
    assert len(made) == 1
    path = store.cache_dir / "key.npz"
    path.write_bytes(path.read_bytes()[:-50])
    assert np.array_equal(store.converted("key", make)["x"], np.arange(1000))
    assert len(made) == 2
    assert [item.name for item in store.cache_dir.iterdir()] == ["key.npz"]


# archives


def refused(site, store, body, words, **limits):
    source = replace(site.put("a.zip", body), **limits)
    with pytest.raises(DataUnavailable, match=words) as error:
        store.obtain(source)
    assert f"a.zip comes from {source.home}; place it in a folder" in str(error.value)
    assert not (store.cache_dir / "a.zip").exists()
    assert not (store.cache_dir / "a.zip.json").exists()


def test_a_truncated_archive_is_refused(site, store):
    refused(site, store, zipped({"a": BODY})[:-1000], "not a sound zip archive")


def test_an_archive_with_one_wrong_byte_is_refused(site, store):
    body = bytearray(zipped({"a": BODY}, zipfile.ZIP_STORED))
    body[500_000] ^= 1
    refused(site, store, bytes(body), "wrong checksum")


@pytest.mark.parametrize("name", ["../up.txt", "a/../../up.txt", "/etc/passwd", "a\\..\\up.txt", "C:up.txt"])
def test_an_archive_that_points_outside_is_refused(site, store, tmp_path, name):
    refused(site, store, zipped({"ok.txt": b"1", name: b"2"}), "points outside the archive")
    assert not list(tmp_path.rglob("up.txt"))


def test_a_link_in_an_archive_is_refused(site, store):
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr(link, "/etc/passwd")
    refused(site, store, buffer.getvalue(), "'link' points outside")


def test_a_zip_bomb_is_refused_before_it_is_unpacked(site, store):
    bomb = zipped({"zeros": bytes(20_000_000)})
    assert len(bomb) < 30_000
    words = "unpacks to 20000000 bytes, at most 10000000 are accepted"
    refused(site, store, bomb, words, max_unpacked_b=10_000_000)


def test_a_size_that_lies_does_not_unpack_more_than_it_says(tmp_path):
    body = zipped({"zeros": bytes(20_000_000)})
    real, small = (20_000_000).to_bytes(4, "little"), (1000).to_bytes(4, "little")
    assert body.count(real) == 2
    (tmp_path / "a.zip").write_bytes(body.replace(real, small))
    with pytest.raises(archive.ArchiveError):
        archive.check(tmp_path / "a.zip", 10_000_000)


def test_too_many_members_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_MEMBERS", 3)
    (tmp_path / "a.zip").write_bytes(zipped({str(number): b"" for number in range(4)}))
    with pytest.raises(archive.ArchiveError, match="4 members, at most 3"):
        archive.check(tmp_path / "a.zip", 1000)


def test_an_encrypted_archive_is_refused(tmp_path):
    body = bytearray(zipped({"a": b"1"}))
    body[body.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(body)
    with pytest.raises(archive.ArchiveError, match="encrypted"):
        archive.check(tmp_path / "a.zip", 1000)
