#!/usr/bin/env python3
"""Writes the test vectors beside this script: `python3 make_vectors.py`.

An independent implementation of pledges, from their description, range proofs included. A pledge follows from its terms,
seed and counts alone, so that both implementations have to make the same bytes.
"""

import json
import struct
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "crypto" / "vectors"))

import range_proof  # noqa: E402
from primitives import BASE, IDENTITY, ORDER, Point, Transcript, blake3_derive, chacha20, scalar_bytes  # noqa: E402

VALUES_PER_PROOF = 64
H = Point.from_uniform(blake3_derive("hippodrome v1 pledge blinding base", bytes(8), 64))


class Stream:
    """ChaCha20 under a key, read on and on."""

    def __init__(self, key):
        self.key, self.at = key, 0

    def read(self, length):
        block = self.at // 64
        self.at += length
        return chacha20(self.key, bytes(self.at - 64 * block), block)[-length:]

    def scalar(self):
        return int.from_bytes(self.read(64), "little") % ORDER


def number(value):
    return struct.pack("<Q", value)


def terms_digest(terms):
    fields = [terms["epoch"], terms["round"], terms["server"], terms["slots"], len(terms["chains"]), *terms["chains"]]
    material = terms["network"] + b"".join(number(field) for field in fields)
    return blake3_derive("hippodrome v1 pledge terms", material)


def width_of(slots):
    return 8 if 2 * slots < 1 << 8 else 16 if 2 * slots < 1 << 16 else 32


def prove_knowledge(secret, base, context, nonce):
    transcript = Transcript(b"hippodrome v1 knowledge")
    commitment = nonce * base
    messages = (b"base", base.encode()), (b"public", (secret * base).encode()), (b"context", context)
    for label, message in (*messages, (b"commitment", commitment.encode())):
        transcript.append(label, message)
    return commitment.encode() + scalar_bytes(nonce + transcript.scalar(b"challenge") * secret)


def pledge(terms, seed, shared, lone):
    digest = terms_digest(terms)
    values = [value for pair in zip(shared, lone) for value in pair]
    topic = digest + b"".join(struct.pack("<I", value) for value in values)
    blinding = Stream(blake3_derive("hippodrome v1 pledge blinding", seed + topic))
    blindings = [blinding.scalar() for _ in values]
    commitments = [value * BASE + factor * H for value, factor in zip(values, blindings)]
    encoded = b"".join(commitment.encode() for commitment in commitments)

    seed_commitment = blake3_derive("hippodrome v1 noise seed commitment", digest + number(len(seed)) + seed)
    material = digest + seed_commitment + number(len(commitments)) + encoded
    context = blake3_derive("hippodrome v1 pledge statement", material)

    # The committed numbers make up the volume: what is left of the sum is a known multiple of H.
    weights = [2, 1] * len(shared)
    secret = sum(weight * factor for weight, factor in zip(weights, blindings)) % ORDER
    excess = range_proof.combine(weights, commitments) - 2 * terms["slots"] * BASE
    assert excess == secret * H
    proofs = Stream(blake3_derive("hippodrome v1 pledge proofs", seed + topic))
    proof = prove_knowledge(secret, H, context, proofs.scalar())

    parts = [range(at, min(at + VALUES_PER_PROOF, len(values))) for at in range(0, len(values), VALUES_PER_PROOF)]
    streams = [Stream(proofs.read(32)) for _ in parts]
    for index, (part, stream) in enumerate(zip(parts, streams)):
        padding = (1 << (len(part) - 1).bit_length()) - len(part)
        padded = [commitments[at] for at in part] + [IDENTITY] * padding
        openings = [[list_[at] for at in part] + [0] * padding for list_ in (values, blindings)]
        state = lambda: range_proof.Statement(H, context, index, width_of(terms["slots"]), padded)  # noqa: E731
        range_bytes = range_proof.prove(state(), *openings, stream.scalar)
        assert range_proof.verify(state(), range_bytes)
        proof += range_bytes
    return seed_commitment + encoded + proof


def case(name, chains, slots, shared, lone):
    drawn = lambda what: blake3_derive("hippodrome test pledges", f"{name} {what}".encode())  # noqa: E731
    context = {"network": drawn("network"), "epoch": 3, "round": 1 << 40, "server": 65535}
    terms = {**context, "chains": chains, "slots": slots}
    seed = drawn("seed")
    made = pledge(terms, seed, shared, lone)
    content = {**terms, "seed": seed, "shared": shared, "lone": lone, "pledge": made}
    return {key: value.hex() if isinstance(value, bytes) else value for key, value in content.items()}


def main():
    cases = [
        case("one chain", [0], 10, [3], [14]),
        case("padding", [0, 7, 1023], 127, [100, 0, 1], [2, 50, 0]),
        case("wider", [5], 1_000, [0], [2_000]),
        case("widest", [2], 100_000, [99_999], [2]),
        case("two proofs", list(range(33)), 33, [1] * 32 + [0], [0] * 32 + [2]),
    ]
    (HERE / "pledges.json").write_text(json.dumps(cases, indent=1) + "\n")


if __name__ == "__main__":
    main()
