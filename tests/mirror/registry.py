"""What a registry serves for an artifact: its manifest, and the blobs that the manifest names."""

import hashlib
import json
import struct
from typing import Any

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
EMPTY = b"{}"
ZSTD_MAGIC, ZSTD_RAW_LIMIT = 0xFD2FB528, 1 << 17


def artifact(repository: str, tag: str, media_type: str, layer: bytes) -> dict[str, bytes]:
    """Return by its URL what ghcr.io serves for an artifact of one layer."""
    address = f"https://ghcr.io/v2/{repository}"
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": _descriptor("application/vnd.oci.empty.v1+json", EMPTY),
            "layers": [_descriptor(media_type, layer)],
        }
    ).encode()
    return {
        f"{address}/manifests/{tag}": manifest,
        f"{address}/manifests/{_digest(manifest)}": manifest,
        **{f"{address}/blobs/{_digest(blob)}": blob for blob in (EMPTY, layer)},
    }


def zstd(data: bytes) -> bytes:
    """Return a zstd frame that holds the data as it is, which needs no library."""
    # A window of 128 KiB, no sum, no dictionary, no size.
    frame = struct.pack("<IBB", ZSTD_MAGIC, 0, 7 << 3)
    for start in range(0, len(data), ZSTD_RAW_LIMIT):
        block = data[start : start + ZSTD_RAW_LIMIT]
        last = start + ZSTD_RAW_LIMIT >= len(data)
        frame += struct.pack("<I", len(block) << 3 | last)[:3] + block
    return frame


def _descriptor(media_type: str, blob: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": _digest(blob), "size": len(blob)}


def _digest(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"
