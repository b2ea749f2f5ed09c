"""Let PyTorch's CUDA build load where NVIDIA's libraries are not installed, for machines without an NVIDIA GPU.

PyPI's torch for x86-64 Linux is a CUDA build. Its libraries name NVIDIA's (3 GB) as needed, so the dynamic linker
refuses to load torch without them, although a CPU never calls them. This writes a stub into torch/lib for each
library that is missing: an ELF file of a few kB with the symbols and versions that torch imports, whose functions
all return 1, an error in each of NVIDIA's APIs. torch finds the real libraries first where they are installed.

    python tools/cuda_stubs.py
"""

import struct
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

PREFIXES = ("libcu", "libnccl", "libnv")
DRIVER = "libcuda.so.1"
"""Comes with the GPU's driver; torch opens it only where there is one."""
CODE = b"\xb8\x01\x00\x00\x00\xc3"  # mov eax, 1; ret
PAGE = 4096
MARK = b"\0stub of tools/cuda_stubs.py"
"""The last bytes of a stub; a later torch may need other symbols, so a stub does not count as installed."""
HEADER, PROGRAM_HEADER, SYMBOL = "<16s2H I3Q I6H", "<2I6Q", "<I2BH2Q"
PT_LOAD, PT_DYNAMIC, PT_GNU_STACK = 1, 2, 0x6474E551
DT_NEEDED, DT_HASH, DT_STRTAB, DT_SYMTAB, DT_STRSZ, DT_SYMENT, DT_SONAME = 1, 4, 5, 6, 10, 11, 14
DT_VERSYM, DT_VERDEF, DT_VERDEFNUM = 0x6FFFFFF0, 0x6FFFFFFC, 0x6FFFFFFD
SHT_DYNAMIC, SHT_DYNSYM, SHT_VERNEED, SHT_VERSYM = 6, 11, 0x6FFFFFFE, 0x6FFFFFFF


class Import(NamedTuple):
    """An undefined symbol of a shared library; `library` and `version` are empty where it has no version."""

    symbol: str
    library: str
    version: str


def main() -> int:
    """Write the stubs that this environment's torch needs."""
    packages = Path(sysconfig.get_path("platlib"))
    users = [*(packages / "torch" / "lib").glob("*.so*"), *(packages / "torchvision").glob("*.so")]
    if not users:
        print(f"{packages} has no torch: install it first", file=sys.stderr)
        return 2
    folders = packages / "torch" / "lib", packages / "torchvision.libs", *(packages / "nvidia").glob("*/lib")
    missing = missing_libraries(users, [folder for folder in folders if folder.is_dir()])
    for soname, imports in missing.items():
        (packages / "torch" / "lib" / soname).write_bytes(stub(soname, imports))
    print(f"{len(missing)} stubs for NVIDIA's libraries: {', '.join(missing) or 'none is missing'}")
    return 0


def missing_libraries(users: Iterable[Path], folders: Iterable[Path]) -> dict[str, dict[str, str]]:
    """The NVIDIA libraries that `users` need and `folders` lack: {soname: {symbol: version}}."""
    needed: set[str] = set()
    imports: set[Import] = set()
    for path in users:
        libraries, symbols = read_imports(path.read_bytes())
        needed |= libraries
        imports |= symbols
    installed = {path.name for folder in folders for path in folder.iterdir() if not _is_stub(path)}
    missing = sorted(name for name in needed - installed - {DRIVER} if name.startswith(PREFIXES))
    return {name: {i.symbol: i.version for i in imports if _belongs(i, name)} for name in missing}


def _is_stub(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(MARK)))
        return file.read() == MARK


def _belongs(item: Import, soname: str) -> bool:
    """Whether a library defines a symbol; symbols without a version start with the library's name."""
    if item.library:
        return item.library == soname
    return item.symbol.lower().startswith(soname.removeprefix("lib").partition(".")[0].lower())


def read_imports(file: bytes) -> tuple[set[str], set[Import]]:
    """The sonames that an x86-64 ELF library needs, and its undefined symbols."""
    (start,) = struct.unpack_from("<Q", file, 40)
    entry_size, count = struct.unpack_from("<2H", file, 58)
    headers = [struct.unpack_from("<2I4Q2I2Q", file, start + i * entry_size) for i in range(count)]
    starts = [header[4] for header in headers]
    sections = {kind: (offset, size, starts[link]) for _, kind, _, _, offset, size, link, *_ in headers}
    if SHT_DYNAMIC not in sections or SHT_DYNSYM not in sections:
        return set(), set()
    offset, size, strings = sections[SHT_DYNAMIC]
    entries = struct.iter_unpack("<2Q", file[offset : offset + size])
    libraries = {_text(file, strings + value) for tag, value in entries if tag == DT_NEEDED}
    versions = dict(_needed_versions(file, *sections[SHT_VERNEED])) if SHT_VERNEED in sections else {}
    offset, size, strings = sections[SHT_DYNSYM]
    symbols = set()
    for i, (name, _, _, section, _, _) in enumerate(struct.iter_unpack(SYMBOL, file[offset : offset + size])):
        if section == 0 and name:
            (index,) = struct.unpack_from("<H", file, sections[SHT_VERSYM][0] + 2 * i) if versions else (0,)
            symbols.add(Import(_text(file, strings + name), *versions.get(index, ("", ""))))
    return libraries, symbols


def _needed_versions(file: bytes, at: int, size: int, strings: int) -> Iterator[tuple[int, tuple[str, str]]]:
    """(index in the version table, (library, version)) of every version that a library needs."""
    step = 1
    while step:
        _, count, library, auxiliary, step = struct.unpack_from("<2H3I", file, at)
        entry = at + auxiliary
        for _ in range(count):
            _, _, index, name, following = struct.unpack_from("<I2H2I", file, entry)
            yield index, (_text(file, strings + library), _text(file, strings + name))
            entry += following
        at += step


def _text(file: bytes, offset: int) -> str:
    return file[offset : file.index(b"\0", offset)].decode()


def elf_hash(name: str) -> int:
    """The System V ABI's hash of a symbol's name."""
    value = 0
    for byte in name.encode():
        value = (value << 4) + byte
        value = (value ^ (value & 0xF0000000) >> 24) & 0x0FFFFFFF
    return value


def stub(soname: str, symbols: dict[str, str]) -> bytes:
    """An x86-64 ELF library that defines `symbols` ({name: version, or empty}) as functions that return 1."""
    names = sorted(symbols)
    versions = sorted(set(symbols.values()) - {""})
    strings = b"\0"
    offsets = {}
    for text in (soname, *names, *versions):
        if text not in offsets:
            offsets[text] = len(strings)
            strings += text.encode() + b"\0"

    buckets = [0] * max(1, len(names))
    chain = [0] * (len(names) + 1)
    for i, name in enumerate(names, 1):
        bucket = elf_hash(name) % len(buckets)
        buckets[bucket], chain[i] = i, buckets[bucket]
    hashes = struct.pack(f"<2I{len(buckets) + len(chain)}I", len(buckets), len(chain), *buckets, *chain)

    definitions = b""
    for index, version in enumerate([soname, *versions], 1):  # the first is the file's own
        last = index == len(versions) + 1
        head = struct.pack("<4H3I", 1, index == 1, index, 1, elf_hash(version), 20, 0 if last else 28)
        definitions += head + struct.pack("<2I", offsets[version], 0)
    indices = [0, *(versions.index(symbols[name]) + 2 if symbols[name] else 1 for name in names)]

    parts: dict[str, bytes] = {"headers": bytes(64 + 4 * 56), "code": CODE, "symbols": bytes(24 * (len(names) + 1))}
    parts |= {"hashes": hashes, "strings": strings, "indices": struct.pack(f"<{len(indices)}H", *indices)}
    parts["definitions"] = definitions
    at, start = {}, 0
    for part, content in parts.items():
        at[part] = start
        parts[part] = content.ljust(-(-len(content) // 8) * 8, b"\0")
        start += len(parts[part])
    parts["symbols"] = bytes(24) + b"".join(
        struct.pack(SYMBOL, offsets[name], 0x12, 0, 1, at["code"], len(CODE)) for name in names
    )

    dynamic = struct.pack(
        "<20Q",
        *(DT_SONAME, offsets[soname], DT_HASH, at["hashes"], DT_STRTAB, at["strings"], DT_STRSZ, len(strings)),
        *(DT_SYMTAB, at["symbols"], DT_SYMENT, 24, DT_VERSYM, at["indices"]),
        *(DT_VERDEF, at["definitions"], DT_VERDEFNUM, len(versions) + 1, 0, 0),
    )
    data = -(-start // PAGE) * PAGE
    segments = [
        (PT_LOAD, 5, 0, 0, 0, start, start, PAGE),
        (PT_LOAD, 6, data, data, data, len(dynamic), len(dynamic), PAGE),
        (PT_DYNAMIC, 6, data, data, data, len(dynamic), len(dynamic), 8),
        (PT_GNU_STACK, 6, 0, 0, 0, 0, 0, 16),
    ]
    magic = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    header = struct.pack(HEADER, magic, 3, 62, 1, 0, 64, 0, 0, 64, 56, len(segments), 0, 0, 0)
    parts["headers"] = header + b"".join(struct.pack(PROGRAM_HEADER, *segment) for segment in segments)
    return b"".join(parts.values()).ljust(data, b"\0") + dynamic + MARK


if __name__ == "__main__":
    sys.exit(main())
