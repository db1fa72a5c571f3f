"""Damage that knows a format: values of JSON, lines of text, tags, members, elements, headers."""

from __future__ import annotations

import json
import random
import struct
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import h5py
import numpy as np

from fuzzing.bytewise import OF_BYTES, Change, files_of

ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 7, 2**31, 2**63, -(2**70), 0.0, -0.5, 1e-300, 1e300, 1e400),
    *(
        "",
        "x",
        "0",
        "nan",
        "../elsewhere",
        "../../elsewhere",
        "/nowhere/x",
        "a\x00b",
        "\u202e",
        "é" * 300,
        "[" * 500,
    ),
    *([], {}, [[]], [None], [1, 2, 3], {"a": 1}, {"format": 1}, float("nan"), float("inf")),
)
ODD_CELLS = (
    *("", " ", "NA", "nan", "inf", "-inf", "1e400", "-1", "0", "999999999999999999999", "1,5", "1.234.567,8"),
    *("12%", "#N/A", "#REF!", "=1+1", "@x", "yes", "no", "low", '"', '""', "'", "\u200b", "é", "\x00", "\t"),
    *("2024-01-31", "31.01.24", "1e5", "P00", "P01", "x" * 10_000, "a\nb", "日本", "٣", "½", "1_000", "0x10"),
)
DEEP = 100_000


def damage_json(folder: Path, rng: random.Random) -> Change:
    """Give a value of a JSON file another type or size, or take away, rename, double or nest a key."""
    files = [path for path in files_of(folder) if path.suffix in (".json", ".geojson")]
    file = rng.choice(files)
    text, what = changed_json(file.read_text(encoding="utf-8"), rng)
    file.write_text(text, encoding="utf-8")
    name = str(file.relative_to(folder))
    return Change(f"{name}: {what}", name)


def changed_json(text: str, rng: random.Random) -> tuple[str, str]:
    """JSON with one value or key changed; and what was done."""
    values = json.loads(text)
    if rng.random() < 0.03:
        return "[" * DEEP + "]" * DEEP, "nested deeply"
    places = list(_places(values))
    way = rng.choice(places)
    *outer, last = way
    inner = values
    for key in outer:
        inner = inner[key]
    named = ".".join(map(str, way))
    deed = rng.choice(
        ("value", "value", "value", "nearby", "gone", "renamed", "taken from elsewhere", "nested")
    )
    if deed == "gone":
        del inner[last]
        return json.dumps(values), f"{named} gone"
    if deed == "renamed" and isinstance(inner, dict):
        inner[rng.choice((f"{last}x", "", "../x", last.upper()))] = inner.pop(last)
        return json.dumps(values), f"{named} renamed"
    if deed == "taken from elsewhere":
        inner[last] = _at(values, rng.choice(places))
        return json.dumps(values, skipkeys=True, check_circular=True), f"{named} is another value of the file"
    if deed == "nested":
        inner[last] = [inner[last]]
        return json.dumps(values), f"{named} in a list"
    if deed == "nearby" and isinstance(inner[last], int | float | str):
        inner[last] = _near(inner[last], rng)
    else:
        inner[last] = rng.choice(ODD_VALUES)
    return json.dumps(values), f"{named} is {str(inner[last])[:40]!r}"


def _places(values: Any, way: tuple[Any, ...] = ()) -> Any:
    """Ways to every value, large lists only in part."""
    pairs = values.items() if isinstance(values, dict) else enumerate(values[:50])
    for key, value in pairs:
        yield (*way, key)
        if isinstance(value, dict | list):
            yield from _places(value, (*way, key))


def _at(values: Any, way: tuple[Any, ...]) -> Any:
    for key in way:
        values = values[key]
    return json.loads(json.dumps(values))


def _near(value: Any, rng: random.Random) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        at = rng.randrange(len(value) + 1)
        return value[:at] + rng.choice("0a-/ .é") + value[at + rng.randrange(2) :]
    return rng.choice(
        (value + 1, value - 1, -value, value * 2, value / 2, value * 10, float(value), str(value))
    )


def damage_lines(folder: Path, rng: random.Random) -> Change:
    """Damage a table of text: a cell, a row, a delimiter, the header, quotes, the encoding."""
    file = rng.choice([path for path in files_of(folder) if path.suffix in (".csv", ".tsv")])
    sign = "\t" if file.suffix == ".tsv" else ","
    rows = [line.split(sign) for line in file.read_text(encoding="utf-8").splitlines()]
    row, col = rng.randrange(len(rows)), rng.randrange(len(rows[0]))
    deed = rng.choice(
        ("cell", "cell", "cell", "header", "shorter", "longer", "row gone", "row twice", "column gone")
    )
    if deed == "cell":
        rows[row][col] = rng.choice(ODD_CELLS)
    elif deed == "header":
        rows[0][col] = rng.choice((*ODD_CELLS, rows[0][rng.randrange(len(rows[0]))]))
    elif deed == "shorter":
        del rows[row][col]
    elif deed == "longer":
        rows[row].insert(col, rng.choice(ODD_CELLS))
    elif deed == "row gone":
        del rows[row]
    elif deed == "row twice":
        rows.insert(row, rows[row])
    else:
        rows = [[*cells[:col], *cells[col + 1 :]] for cells in rows]
    sign = rng.choice((sign, sign, sign, sign, ";", "|", " "))
    text = rng.choice(("\n", "\n", "\r\n", "\r")).join(sign.join(cells) for cells in rows) + rng.choice(
        ("\n", "")
    )
    coding = rng.choice(("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-32", "latin-1"))
    before = rng.choice(("", "", "", "", "sep=;\n", "# a comment\n", "A title\n\n", "\n\n"))
    file.write_bytes((before + text).encode(coding, errors="replace"))
    return Change(f"{deed} {row},{col}, {coding}, {before!r} before", file.name, blind=True)


def damage_yaml(folder: Path, rng: random.Random) -> Change:
    """Damage settings: a value, a key, the indentation, twice the same key, nested deeply, aliases."""
    file = rng.choice([path for path in files_of(folder) if path.suffix == ".yaml"])
    lines = file.read_text(encoding="utf-8").splitlines()
    row = rng.randrange(len(lines))
    key, colon, value = lines[row].partition(":")
    odd = rng.choice(
        (
            *(
                "",
                "null",
                "~",
                "[]",
                "{}",
                "-1",
                "0",
                "1e400",
                ".inf",
                ".nan",
                "true",
                "2024-01-01",
                "0o17",
                "1:30",
            ),
            *(
                "'x'",
                '"\\x00"',
                "[" * 3000,
                "{a: " * 1500,
                "&a [*a]",
                "*nowhere",
                "!!python/object:os.system x",
            ),
            *(
                "!!binary aGk=",
                "!!set {a}",
                "|",
                ">",
                "- x",
                "[1, 2",
                "'",
                "%",
                "@",
                "\t",
                "9" * 5000,
                "1" + "0" * 400,
            ),
            *(
                "!!timestamp 9999-99-99",
                "? [a]",
                "<<: *x",
                "x" * 100_000,
                "é",
                "\u0085",
                "/nowhere/x",
                "../elsewhere",
                "[a, b]",
                "{}",
            ),
        )
    )
    deed = rng.choice(("value", "value", "value", "key", "twice", "gone", "indented", "bomb", "document"))
    if deed == "value":
        lines[row] = f"{key}: {odd}" if colon else odd
    elif deed == "key":
        lines[row] = f"{odd}{colon}{value}"
    elif deed == "twice":
        lines.insert(row, f"{key}{colon} {odd}")
    elif deed == "gone":
        del lines[row]
    elif deed == "indented":
        lines[row] = rng.choice((" ", "  ", "\t", "      ")) + lines[row]
    elif deed == "document":
        lines.insert(row, rng.choice(("---", "...", "%YAML 9.9", "--- !!map")))
    else:
        bomb = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
        bomb += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
        lines += bomb
        if colon:
            lines[row] = f"{key}: [1]"
    file.write_text("\n".join(lines), encoding="utf-8", errors="replace")
    return Change(f"{deed} in line {row}: {odd[:40]!r}", file.name, blind=True)


def damage_xml(folder: Path, rng: random.Random) -> Change:
    """Damage XML: an element gone, doubled or renamed, an attribute changed, entities, nesting."""
    file = rng.choice([path for path in files_of(folder) if path.suffix == ".xml"])
    text, what = changed_xml(file.read_text(encoding="utf-8"), rng)
    file.write_text(text, encoding="utf-8")
    return Change(what, file.name, blind=True)


def changed_xml(text: str, rng: random.Random) -> tuple[str, str]:
    """XML with one element or attribute changed; and what was done."""
    if rng.random() < 0.05:
        names = [f'<!ENTITY a{n} "{f"&a{n - 1};" * 10 if n else "lol" * 10}">' for n in range(12)]
        body = text[text.index("?>") + 2 :] if text.startswith("<?xml") else text
        return f"<?xml version='1.0'?><!DOCTYPE x [{''.join(names)}]>{body}".replace(
            "><", ">&a11;<", 1
        ), "entities"
    if rng.random() < 0.03:
        return "<a>" * DEEP + "</a>" * DEEP, "nested deeply"
    root = ElementTree.fromstring(text)
    parents = [each for each in root.iter() if len(each)]
    parent = rng.choice(parents)
    element = rng.choice(list(parent))
    deed = rng.choice(
        ("gone", "twice", "renamed", "attribute", "attribute", "attribute", "attribute gone", "text")
    )
    if deed == "gone":
        parent.remove(element)
    elif deed == "twice":
        parent.append(element)
    elif deed == "renamed":
        element.tag = rng.choice(("x", "Annotation", "Coordinates", "Coordinate"))
    elif deed == "text":
        element.text = rng.choice(("x", "1", "-1", "99999999999", ""))
    else:
        key = rng.choice(sorted(element.attrib))
        del element.attrib[key]
        if deed == "attribute":
            element.attrib[key] = rng.choice(
                [*(cell for cell in ODD_CELLS if "\x00" not in cell), "nan", "1e308"]
            )
    return ElementTree.tostring(root, encoding="unicode"), f"{deed} in <{element.tag}>"


def damage_zip(folder: Path, rng: random.Random) -> Change:
    """Damage a member of a zip archive (a workbook) and pack it rightly again, or take it out."""
    file = rng.choice([path for path in files_of(folder) if path.suffix == ".xlsx"])
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(sorted(members))
    deed = rng.choice(("bytes", "xml", "xml", "xml", "gone", "renamed", "emptied", "twice"))
    if deed == "bytes":
        data = bytearray(members[name])
        rng.choice(OF_BYTES)(data, rng)
        members[name] = bytes(data)
    elif deed == "xml":
        changed, deed = changed_xml(members[name].decode("utf-8"), rng)
        members[name] = changed.encode("utf-8")
    elif deed == "gone":
        del members[name]
    elif deed == "renamed":
        members[rng.choice((f"x{name}", f"../{name}"))] = members.pop(name)
    elif deed == "emptied":
        members[name] = b""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for each, content in members.items():
            archive.writestr(each, content)
    return Change(f"{name}: {deed}", file.name, blind=True)


def damage_safetensors(folder: Path, rng: random.Random) -> Change:
    """Change the header of a safetensors file: types, shapes, places, names, metadata; or its length."""
    file = rng.choice([path for path in files_of(folder) if path.suffix == ".safetensors"])
    data = file.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    text, rest = data[8 : 8 + length].decode("utf-8"), data[8 + length :]
    deed = rng.choice(("header", "header", "metadata", "metadata", "length", "value"))
    if deed == "header":
        text, what = changed_json(text, rng)
    elif deed == "metadata":
        header = json.loads(text)
        inner, what = changed_json(header["__metadata__"]["histonic"], rng)
        header["__metadata__"]["histonic"] = inner
        text = json.dumps(header)
    elif deed == "value":
        odd = struct.pack("<f", rng.choice((float("nan"), float("inf"), 1e30, 0.0)))
        at = 4 * rng.randrange(max(1, len(rest) // 4))
        rest, what = rest[:at] + odd + rest[at + 4 :], f"a number in byte {at} of the weights"
    else:
        what = "length of the header"
    packed = text.encode("utf-8")
    said = rng.choice((0, 1, length + 8, length - 1, 2**40, 2**63)) if deed == "length" else len(packed)
    file.write_bytes(struct.pack("<Q", said) + packed + rest)
    return Change(f"{file.name}: {what}", str(file.relative_to(folder)))


def damage_h5(folder: Path, rng: random.Random) -> Change:
    """Change an HDF5 file by its own library: a data set gone, of another type, shape or name; attributes."""
    path = rng.choice([path for path in files_of(folder) if path.suffix == ".h5"])
    with h5py.File(path, "r+") as file:
        items: list[str] = []
        file.visit(items.append)
        sets = [name for name in items if isinstance(file[name], h5py.Dataset)]
        deed = rng.choice(("gone", "renamed", "type", "shape", "values", "attribute", "attribute"))
        name = rng.choice(items if deed in ("gone", "renamed") else sets)
        if deed == "gone":
            del file[name]
        elif deed == "renamed":
            file.move(name, f"{name}x")
        elif deed == "attribute":
            holders = [each for each in (file, *(file[each] for each in items)) if len(each.attrs)]
            holder = rng.choice(holders)
            key = rng.choice(sorted(holder.attrs))
            old = holder.attrs[key]
            del holder.attrs[key]
            if isinstance(old, str | bytes) and rng.random() < 0.7:
                text = old.decode() if isinstance(old, bytes) else old
                if text.startswith("{"):
                    holder.attrs[key] = changed_json(text, rng)[0]
            elif rng.random() < 0.7:
                holder.attrs[key] = rng.choice((0, -1, "x", [1, 2], b"\xff", np.nan))
            name = f"{holder.name}@{key}"
        else:
            old = np.asarray(file[name])
            del file[name]
            if deed == "type":
                file[name] = old.astype(rng.choice(("f2", "f8", "i1", "S3", "u1", "c8")))
            elif deed == "shape":
                file[name] = rng.choice(
                    (old.reshape(-1), old[:0], old[None], np.asarray(old.flat[0]), old[:-1])
                )
            else:
                flat = old.reshape(-1).copy()
                flat[rng.randrange(len(flat))] = rng.choice((0, 1, 2, 255))
                file[name] = flat.reshape(old.shape)
    return Change(f"{path.name}: {deed} of {name}", path.name, blind=True)


TAG_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}


def damage_tag(folder: Path, rng: random.Random) -> Change:
    """Change a tag of a classic TIFF: its number, type, count or value, or where the next directory is."""
    file = rng.choice([path for path in files_of(folder) if path.suffix in (".tif", ".svs")])
    data = bytearray(file.read_bytes())
    order = "<" if data[:2] == b"II" else ">"
    entries, at = [], struct.unpack_from(f"{order}I", data, 4)[0]
    ends = [4]
    while at:
        count = struct.unpack_from(f"{order}H", data, at)[0]
        entries += [at + 2 + 12 * number for number in range(count)]
        ends.append(at + 2 + 12 * count)
        at = struct.unpack_from(f"{order}I", data, ends[-1])[0]
    deed = rng.choice(("number", "type", "count", "value", "value", "value", "values", "next"))
    entry = rng.choice(entries)
    tag, kind, count, value = struct.unpack_from(f"{order}HHII", data, entry)
    odd = rng.choice(
        (0, 1, 2, value + 1, max(value - 1, 0), value * 2 % 2**32, 2**31, 2**32 - 1, 7, 256, len(data))
    )
    if deed == "number":
        struct.pack_into(
            f"{order}H", data, entry, rng.choice((tag + 1, 256, 257, 322, 325, 259, 262, 0, 65535))
        )
    elif deed == "type":
        struct.pack_into(f"{order}H", data, entry + 2, rng.randrange(20))
    elif deed == "count":
        struct.pack_into(
            f"{order}I", data, entry + 4, rng.choice((0, 1, count + 1, count * 2, 2**31, 2**32 - 1))
        )
    elif deed == "next":
        struct.pack_into(
            f"{order}I", data, rng.choice(ends), rng.choice((0, 4, odd, ends[0], ends[-1])) % 2**32
        )
    elif deed == "values" and TAG_SIZES.get(kind, 1) * count > 4:
        size = TAG_SIZES.get(kind, 1)
        place = value + size * rng.randrange(count)
        old = int.from_bytes(data[place : place + size], "little")
        new = rng.choice((0, 1, old + 1, old * 2, 2 ** (8 * size) - 1)) % 2 ** (8 * size)
        data[place : place + size] = new.to_bytes(size, "little")
    else:
        struct.pack_into(
            f"{order}{'H' if kind == 3 else 'I'}", data, entry + 8, odd % (2**16 if kind == 3 else 2**32)
        )
    file.write_bytes(bytes(data))
    # A text or a resolution of its own is repeated nowhere in the file.
    alone = tag in (270, 282, 283, 296, 305, 306, 315, 65420) and deed in ("value", "values")
    # Nor does a side that needs as many tiles as before, in a file without a description.
    if deed in ("value", "values") and tag in (256, 257) and file.suffix == ".tif" and value > 64:
        alone = -(-odd // 256) == -(-value // 256)
    return Change(f"{file.name}: {deed} of tag {tag} ({odd})", file.name, blind=alone or None)
