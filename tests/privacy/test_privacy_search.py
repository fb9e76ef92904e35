"""The search bites: each canary, in each form, is found where it was planted, and named; without one, nothing is."""

import base64
import gzip
import hashlib
import io
import json
import sqlite3
import struct
import zipfile
from urllib.parse import quote

import numpy as np
import pytest

from tests.privacy.canaries import AGE, WORDS, Canaries
from tests.privacy.search import Search
from tests.privacy.surfaces import sqlite_bytes

CANARIES = Canaries()
VALUES = {
    "text": CANARIES.text("a text"),
    "number": CANARIES.number("a number"),
    "uid": CANARIES.uid("a UID"),
    "date": CANARIES.date("a date"),
    "time": CANARIES.time("a time"),
}
OTHERS = [CANARIES.text(f"another {n}") for n in range(20)]
SEARCH = Search(CANARIES)

ENCODINGS = {
    "UTF-8": str.encode,
    "UTF-16LE": lambda text: text.encode("utf-16-le"),
    "UTF-16BE": lambda text: text.encode("utf-16-be"),
    **{
        f"Base64, {n} before": lambda text, n=n: base64.b64encode(b"xyz"[:n] + text.encode() + b"tail")
        for n in range(3)
    },
    "Base64 for URLs": lambda text: base64.urlsafe_b64encode(b"?" + text.encode()),
    "Base64 of UTF-16": lambda text: base64.b64encode(b"<" + text.encode("utf-16-le")),
    "hex": lambda text: text.encode().hex().encode(),
    "HEX": lambda text: text.encode().hex().upper().encode(),
    "URL": lambda text: quote(f"a b&{text}").encode(),
    "URL, every letter": lambda text: "".join(f"%{ord(letter):02X}" for letter in text).encode(),
    "JSON": lambda text: json.dumps({"name": text}).encode(),
    "JSON, every letter": lambda text: "".join(f"\\u{ord(letter):04x}" for letter in text).encode(),
    "gzip": lambda text: b"before" + gzip.compress(f"name={text}".encode()) + b"after",
    "gzip in gzip": lambda text: gzip.compress(gzip.compress(text.encode())),
    "md5": lambda text: hashlib.md5(text.encode()).hexdigest().encode(),
    "sha256": lambda text: f"sha256:{hashlib.sha256(text.encode()).hexdigest()}".encode(),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("kind", VALUES)
def test_every_form_of_every_kind_is_found_and_named(kind, encoding):
    hidden = b"\0\x01 some=\xff " + ENCODINGS[encoding](VALUES[kind]) + b"\n more"
    finds = SEARCH.finds("haystack", hidden)
    assert {find.origin for find in finds} == {f"a {kind}" if kind != "uid" else "a UID"}, finds


@pytest.mark.parametrize("charset", ["utf-8", "latin-1", "iso2022_jp", "utf-16-le", "json", "hex", "percent"])
@pytest.mark.parametrize("word", WORDS.values())
def test_words_of_other_character_sets_are_found(word, charset):
    ways = {"json": json.dumps, "hex": lambda text: text.encode().hex(), "percent": quote}
    try:
        hidden = ways[charset](word).encode() if charset in ways else word.encode(charset)
    except UnicodeEncodeError:
        return
    assert SEARCH.finds("haystack", b"name " + hidden + b" end")


@pytest.mark.parametrize("change", [str.lower, str.title, lambda text: text[:9], lambda text: f"Given^{text}"])
def test_a_canary_that_was_changed_is_found(change):
    assert SEARCH.finds("haystack", change(VALUES["text"]).encode())


@pytest.mark.parametrize("written", [f"age={AGE}", "on 1877-02-01", "at 18:27:36.910003Z"])
def test_ages_dates_and_times_are_found_as_people_write_them(written):
    assert SEARCH.finds("haystack", written.encode())


@pytest.mark.parametrize("order", ["<d", ">d"])
def test_a_number_is_found_as_a_double(order):
    assert SEARCH.finds("haystack", b"abc" + struct.pack(order, float(VALUES["number"])))


def test_what_zip_and_npz_files_hold_is_found():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("plain.txt", f"name {VALUES['text']} " * 100)
    assert SEARCH.finds("haystack", packed.getvalue())
    arrays = io.BytesIO()
    np.savez_compressed(arrays, numbers=np.array([float(VALUES["number"])] * 50))
    assert SEARCH.finds("haystack", arrays.getvalue())


def test_rows_of_a_database_are_found_even_where_a_value_spans_pages(tmp_path):
    file = tmp_path / "state.db"
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE t (words TEXT, bytes BLOB)")
        database.execute(
            "INSERT INTO t VALUES (?, ?)", ("x" * 4070 + VALUES["text"], gzip.compress(OTHERS[0].encode()))
        )
    database.close()
    finds = [find for where, data in sqlite_bytes(file) for find in SEARCH.finds(where, data)]
    assert {"a text", "another 0"} <= {find.origin for find in finds}


@pytest.mark.parametrize("kind", ["date", "number"])
def test_digits_inside_other_numbers_are_none(kind):
    assert SEARCH.finds("a UID", f"2.25.168{VALUES[kind]}32123 0.5{VALUES[kind]}1".encode()) == []


def test_nothing_is_found_where_nothing_is():
    generator = np.random.default_rng(5)
    noise = generator.bytes(3_000_000)
    for data in (noise, noise.hex().encode(), base64.b64encode(noise), str(generator.random(50_000).tolist()).encode()):
        assert SEARCH.finds("noise", data) == []
