#!/usr/bin/env python3
"""Writes the test vectors beside this script: `python3 make_vectors.py`.

An independent implementation of the wire formats and proofs of this crate, from their descriptions, on primitives of
its own. All randomness is derived from names, so that the same files come out every time.
"""

import json
import struct
from pathlib import Path

import shuffle
from primitives import (
    BASE,
    ORDER,
    Transcript,
    aead_seal,
    blake3_derive,
    blake3_keyed,
    chacha20,
    poly1305,
    scalar_bytes,
)


def random_bytes(name, length=32):
    return blake3_derive("hippodrome test vectors", name.encode(), length)


def random_scalar(name):
    return int.from_bytes(random_bytes(name, 64), "little") % ORDER


def digest(label, *fields):
    """A labelled digest of typed fields: ('bytes', b), ('number', n), ('digest', d), ('list', [d, ...])."""
    material = b""
    for kind, value in fields:
        if kind == "bytes":
            material += struct.pack("<Q", len(value)) + value
        elif kind == "number":
            material += struct.pack("<Q", value)
        elif kind == "digest":
            material += value
        else:
            material += struct.pack("<Q", len(value)) + b"".join(value)
    return blake3_derive(label, material)


def plain(value):
    """Bytes and elements as hexadecimal, for JSON."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return value.hex()
    return value.encode().hex() if hasattr(value, "coordinates") else value


def write(name, content):
    text = json.dumps(plain(content), indent=1) + "\n"
    (Path(__file__).parent / name).write_text(text)


# Transcripts, digests, proofs of knowledge


def transcript_case(label, steps):
    """Runs the steps and fills in what is drawn."""
    transcript = Transcript(label.encode())
    done = []
    for kind, name, value in steps:
        if kind == "scalar":
            value = scalar_bytes(transcript.scalar(name.encode()))
        elif kind == "wide":
            value = transcript.challenge(name.encode(), 64)
        elif kind == "number":
            transcript.number(name.encode(), value)
        elif kind == "commitments":
            transcript.commitments(name.encode(), value)
        else:
            transcript.append(name.encode(), value)
        done.append({"kind": kind, "label": name, "value": [value] if kind != "commitments" else value})
    return {"label": label, "steps": done}


def transcript_cases():
    element = (7 * BASE).encode()
    every_kind = [
        ("bytes", "message", random_bytes("message", 300)),
        ("number", "count", (1 << 64) - 2),
        ("digest", "digest", random_bytes("digest")),
        ("element", "X", element),
        ("commitments", "C", [element, bytes(32), BASE.encode()]),
        ("scalar", "first", None),
        ("wide", "second", None),
        ("bytes", "empty", b""),
        ("commitments", "none", []),
        ("scalar", "third", None),
    ]
    # Around the rate of the sponge, 166 bytes, where an implementation goes wrong if anywhere.
    edges = [("scalar", "alone", None)]
    for length in (1, 140, 150, 155, 160, 165, 166, 167, 331, 332, 333):
        edges += [("bytes", "edge", random_bytes(f"edge {length}", length)), ("wide", "drawn", None)]
    return [transcript_case("hippodrome every kind", every_kind), transcript_case("", edges)]


def digest_cases():
    fields = [
        [],
        [("bytes", b"")],
        [("number", 0)],
        [("number", 1 << 63), ("bytes", b"abc"), ("digest", random_bytes("digest"))],
        [("list", [])],
        [("list", [random_bytes(f"item {index}") for index in range(40)]), ("bytes", random_bytes("long", 3000))],
    ]
    cases = []
    for number, case in enumerate(fields):
        label = f"hippodrome test digest {number}"
        typed = [{"kind": kind, "value": value if kind == "list" else [value]} for kind, value in case]
        cases.append({"label": label, "fields": typed, "digest": digest(label, *case)})
    return cases


def prove_knowledge(secret, base, context, nonce):
    transcript = Transcript(b"hippodrome v1 knowledge")
    commitment = nonce * base
    messages = (b"base", base.encode()), (b"public", (secret * base).encode()), (b"context", context)
    for label, message in (*messages, (b"commitment", commitment.encode())):
        transcript.append(label, message)
    return commitment.encode() + scalar_bytes(nonce + transcript.scalar(b"challenge") * secret)


def knowledge_cases():
    cases = []
    for number in range(3):
        secret, nonce = random_scalar(f"secret {number}"), random_scalar(f"nonce {number}")
        base, context = (number * number + 1) * BASE, random_bytes(f"context {number}")
        proof = prove_knowledge(secret, base, context, nonce)
        cases.append({"base": base, "public": secret * base, "context": context, "proof": proof})
    return cases


def hop_case():
    base, context = 9 * BASE, random_bytes("hop context")
    a, b = random_scalar("hop a"), random_scalar("hop b")
    public = (a * base).encode() + (b * base).encode()
    proof = b""
    for label, secret in (("hippodrome v1 hop key", a), ("hippodrome v1 hop blinding", b)):
        bound = digest(label, ("digest", context), ("bytes", public))
        proof += prove_knowledge(secret, base, bound, random_scalar(f"nonce for {label}"))
    return {"base": base, "context": context, "public": public, "proof": proof}


def hash_to_group_cases():
    pairs = [("hippodrome v1 commitment key H", 0), ("hippodrome v1 commitment key G", 4095), ("any label", 1 << 40)]
    return [{"label": label, "index": index, "element": shuffle.generator(label, index)} for label, index in pairs]


# Onions


class Hop:
    """One hop's keys and key derivations."""

    def __init__(self, case, descriptor, layer, chain, position, base):
        self.a, self.b = (random_scalar(f"{case} {letter} {position}") for letter in "ab")
        self.key, self.blinding = self.a * base, self.b * base
        context = descriptor + struct.pack("<BHB", layer, chain, position)
        self.forward, self.back = ((context + bytes([direction])).ljust(48, b"\0") for direction in (0, 1))

    def keys(self, x_key, shared, blinded):
        """Tag key, cipher key, return key."""
        tag = blake3_derive("hippodrome v1 onion tag key", self.forward)
        cipher = blake3_derive("hippodrome v1 onion cipher key", self.forward)
        back = blake3_derive("hippodrome v1 onion return key", self.back)
        both = x_key + shared + blinded
        return blake3_keyed(tag, x_key + shared), blake3_keyed(cipher, both), blake3_keyed(back, both)


def onion_case(name, hops, payload_length, reply_length, layer, chain):
    descriptor, x = random_bytes(f"{name} descriptor"), random_scalar(f"{name} x")
    path, base = [], BASE
    for position in range(hops):
        path.append(Hop(name, descriptor, layer, chain, position, base))
        base = path[-1].blinding
    steps, key = [], x * BASE
    for hop in path:
        # What the server computes; the client finds the same from its x and the published keys.
        shared, blinded = hop.a * key, hop.b * key
        assert shared == x * hop.key and blinded == x * hop.blinding
        steps.append({"key": key.encode(), "shared": shared.encode(), "blinded": blinded.encode()})
        key = blinded
    payload = body = random_bytes(f"{name} payload", payload_length)
    for hop, step in reversed(list(zip(path, steps))):
        tag_key, cipher_key, _ = hop.keys(step["key"], step["shared"], step["blinded"])
        ciphertext = chacha20(cipher_key, body)
        body = ciphertext + poly1305(tag_key, hop.forward + step["key"] + ciphertext)
        step["body"] = body
    reply = text = random_bytes(f"{name} reply", reply_length)
    for hop, step in reversed(list(zip(path, steps))):
        text = aead_seal(hop.keys(step["key"], step["shared"], step["blinded"])[2], text, hop.back)
        step["reply"] = text
    secrets = {"x": scalar_bytes(x), "a": [scalar_bytes(h.a) for h in path], "b": [scalar_bytes(h.b) for h in path]}
    public = [hop.key.encode() + hop.blinding.encode() for hop in path]
    place = {"descriptor": descriptor, "layer": layer, "chain": chain}
    return {**place, **secrets, "hops": public, "payload": payload, "reply": reply, "steps": steps}


def onion_cases():
    return [
        onion_case("one hop", 1, 1, 1, 0, 0),
        onion_case("three hops", 3, 272, 256, 1, 0x1234),
        onion_case("whole blocks", 2, 64, 64, 255, 0xFFFF),
    ]


# Merkle trees


def merkle_key(kind):
    return blake3_derive(f"hippodrome v1 merkle {kind}", b"")


def merkle_top(leaves):
    """Splits at the largest power of two below the count; the crate pairs level by level, which is the same tree."""
    if len(leaves) == 1:
        return leaves[0]
    left = 1 << (len(leaves) - 1).bit_length() - 1
    return blake3_keyed(merkle_key("node"), merkle_top(leaves[:left]) + merkle_top(leaves[left:]))


def merkle_branch(leaves, index):
    if len(leaves) == 1:
        return []
    left = 1 << (len(leaves) - 1).bit_length() - 1
    if index < left:
        return [*merkle_branch(leaves[:left], index), merkle_top(leaves[left:])]
    return [*merkle_branch(leaves[left:], index - left), merkle_top(leaves[:left])]


def merkle_case(count):
    records = [random_bytes(f"record {index} of {count}", 32 + 41) for index in range(count)]
    bodies = [blake3_keyed(merkle_key("body"), record[32:]) for record in records]
    leaves = [blake3_keyed(merkle_key("leaf"), record[:32] + body) for record, body in zip(records, bodies)]
    top = merkle_top(leaves) if leaves else bytes(32)
    root = blake3_keyed(merkle_key("root"), struct.pack("<Q", count) + top)
    branches = [merkle_branch(leaves, index) for index in range(count)]
    return {"records": records, "leaves": leaves, "root": root, "branches": branches}


# Shuffles


def shuffle_case(permutation):
    count = len(permutation)
    b = random_scalar(f"b of {count}")
    inputs = [random_scalar(f"input {index} of {count}") * BASE for index in range(count)]
    outputs = [b * inputs[source - 1] for source in permutation]
    statement = shuffle.statement_for(b, lambda name: random_bytes(f"{name} of {count}"))
    proof = shuffle.prove(statement, inputs, outputs, permutation, b, lambda name: random_scalar(f"{name} of {count}"))
    assert shuffle.verify(statement, inputs, outputs, proof)
    if count > 1:
        assert not shuffle.verify(statement, inputs, outputs[::-1], proof)
    aggregate = shuffle.prove_aggregate(statement, inputs, outputs, b, random_scalar(f"nonce of {count}"))
    return {**statement, "inputs": inputs, "outputs": outputs, "proof": proof, "aggregate": aggregate}


def main():
    write(
        "transcript.json",
        {
            "transcripts": transcript_cases(),
            "digests": digest_cases(),
            "hash_to_group": hash_to_group_cases(),
            "knowledge": knowledge_cases(),
            "hop": hop_case(),
        },
    )
    write("onion.json", onion_cases())
    write("merkle.json", [merkle_case(count) for count in (0, 1, 2, 3, 5, 8, 13)])
    write("shuffle.json", [shuffle_case(permutation) for permutation in ([1], [2, 1], [3, 1, 5, 2, 4])])


if __name__ == "__main__":
    main()
