"""The primitives, from their specifications with nothing but the standard library, to be read and not to be fast.

Keccak-f[1600] (FIPS 202), STROBE-128 (Hamburg, version 1.0.2) and merlin's transcript on it; BLAKE3 (O'Connor and
others, 2021); ChaCha20, Poly1305 and their AEAD (RFC 8439); Ristretto255 (RFC 9496). Nothing here is constant-time:
these are tools for test vectors. Importing the module checks every primitive against published vectors.
"""

import hashlib
import struct

MASK64 = (1 << 64) - 1
MASK32 = (1 << 32) - 1


# Keccak, STROBE, merlin


def keccak_f(state):
    """The permutation of 200 bytes."""
    lanes = [list(row) for row in zip(*[iter(struct.unpack("<25Q", bytes(state)))] * 5)]  # lanes[y][x]
    round_bits = 1
    for _ in range(24):
        parity = [lanes[0][x] ^ lanes[1][x] ^ lanes[2][x] ^ lanes[3][x] ^ lanes[4][x] for x in range(5)]
        theta = [parity[x - 1] ^ rotate64(parity[(x + 1) % 5], 1) for x in range(5)]
        lanes = [[lanes[y][x] ^ theta[x] for x in range(5)] for y in range(5)]
        x, y, moving = 1, 0, lanes[0][1]
        for step in range(24):
            x, y = y, (2 * x + 3 * y) % 5
            moving, lanes[y][x] = lanes[y][x], rotate64(moving, (step + 1) * (step + 2) // 2)
        lanes = [[row[x] ^ (~row[(x + 1) % 5] & row[(x + 2) % 5] & MASK64) for x in range(5)] for row in lanes]
        for power in range(7):
            if round_bits & 1:
                lanes[0][0] ^= 1 << ((1 << power) - 1)
            round_bits = (round_bits << 1) ^ (0x171 if round_bits & 0x80 else 0)
    return bytearray(struct.pack("<25Q", *(lane for row in lanes for lane in row)))


def rotate64(value, by):
    by %= 64
    return ((value << by) | (value >> (64 - by))) & MASK64


class Strobe:
    """STROBE-128 with the three operations that merlin uses."""

    RATE = 166
    I, A, C, T, M, K = 1, 2, 4, 8, 16, 32

    def __init__(self, protocol):
        start = bytes([1, self.RATE + 2, 1, 0, 1, 96]) + b"STROBEv1.0.2"
        self.state = keccak_f(start.ljust(200, b"\0"))
        self.position = self.begin = 0
        self.flags = None
        self.meta_ad(protocol)

    def meta_ad(self, data, more=False):
        self._operate(self.M | self.A, more)
        self._absorb(data)

    def ad(self, data):
        self._operate(self.A, False)
        self._absorb(data)

    def prf(self, length):
        self._operate(self.I | self.A | self.C, False)
        output = bytearray()
        for _ in range(length):
            output.append(self.state[self.position])
            self.state[self.position] = 0
            self._advance()
        return bytes(output)

    def _operate(self, flags, more):
        if more:
            assert flags == self.flags
            return
        self.flags = flags
        previous, self.begin = self.begin, self.position + 1
        self._absorb(bytes([previous, flags]))
        if flags & (self.C | self.K) and self.position:
            self._permute()

    def _absorb(self, data):
        for byte in data:
            self.state[self.position] ^= byte
            self._advance()

    def _advance(self):
        self.position += 1
        if self.position == self.RATE:
            self._permute()

    def _permute(self):
        self.state[self.position] ^= self.begin
        self.state[self.position + 1] ^= 0x04
        self.state[self.RATE + 1] ^= 0x80
        self.state = keccak_f(self.state)
        self.position = self.begin = 0


class Transcript:
    """merlin's transcript (protocol string `Merlin v1.0`)."""

    def __init__(self, label):
        self.strobe = Strobe(b"Merlin v1.0")
        self.append(b"dom-sep", label)

    def append(self, label, message):
        self._frame(label, len(message))
        self.strobe.ad(message)

    def number(self, label, value):
        self.append(label, struct.pack("<Q", value))

    def commitments(self, label, encodings):
        """A list behind its count, each under the same label."""
        self.number(label, len(encodings))
        for encoding in encodings:
            self.append(label, encoding)

    def challenge(self, label, length):
        self._frame(label, length)
        return self.strobe.prf(length)

    def scalar(self, label):
        return int.from_bytes(self.challenge(label, 64), "little") % ORDER

    def _frame(self, label, length):
        self.strobe.meta_ad(label)
        self.strobe.meta_ad(struct.pack("<I", length), more=True)


# BLAKE3

BLAKE3_IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
BLAKE3_SCHEDULE = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
CHUNK_START, CHUNK_END, PARENT, ROOT = 1, 2, 4, 8
KEYED_HASH, DERIVE_KEY_CONTEXT, DERIVE_KEY_MATERIAL = 16, 32, 64


def blake3_compress(chaining, block, counter, length, flags):
    """The compression function: 16 words out."""
    state = [*chaining, *BLAKE3_IV[:4], counter & MASK32, counter >> 32, length, flags]
    words = struct.unpack("<16I", block.ljust(64, b"\0"))

    def mix(a, b, c, d, x, y):
        state[a] = (state[a] + state[b] + x) & MASK32
        state[d] = rotate32(state[d] ^ state[a], 16)
        state[c] = (state[c] + state[d]) & MASK32
        state[b] = rotate32(state[b] ^ state[c], 20)
        state[a] = (state[a] + state[b] + y) & MASK32
        state[d] = rotate32(state[d] ^ state[a], 24)
        state[c] = (state[c] + state[d]) & MASK32
        state[b] = rotate32(state[b] ^ state[c], 25)

    for _ in range(7):
        for column in range(4):
            mix(column, 4 + column, 8 + column, 12 + column, words[2 * column], words[2 * column + 1])
        for column in range(4):
            diagonal = (column, 4 + (column + 1) % 4, 8 + (column + 2) % 4, 12 + (column + 3) % 4)
            mix(*diagonal, words[8 + 2 * column], words[9 + 2 * column])
        words = [words[source] for source in BLAKE3_SCHEDULE]
    low, high = state[:8], state[8:]
    return [a ^ b for a, b in zip(low, high)] + [a ^ b for a, b in zip(high, chaining)]


def rotate32(value, left):
    return ((value << left) | (value >> (32 - left))) & MASK32


def blake3_node(key, data, flags, chunk=0):
    """The last compression of the subtree over data, not yet done: (chaining, block, counter, length, flags)."""
    if len(data) > 1024:
        chunks = (len(data) - 1) // 1024
        left = 1024 << (chunks.bit_length() - 1)
        nodes = blake3_node(key, data[:left], flags, chunk), blake3_node(key, data[left:], flags, chunk + left // 1024)
        block = b"".join(struct.pack("<8I", *blake3_compress(*node)[:8]) for node in nodes)
        return key, block, 0, 64, flags | PARENT
    chaining, start = key, CHUNK_START
    while len(data) > 64:
        chaining = blake3_compress(chaining, data[:64], chunk, 64, flags | start)[:8]
        data, start = data[64:], 0
    return chaining, data, chunk, len(data), flags | start | CHUNK_END


def blake3_root(key, data, flags, length):
    chaining, block, _, size, flags = blake3_node(key, data, flags)
    blocks = (blake3_compress(chaining, block, at, size, flags | ROOT) for at in range((length + 63) // 64))
    return b"".join(struct.pack("<16I", *words) for words in blocks)[:length]


def blake3(data, length=32):
    return blake3_root(BLAKE3_IV, data, 0, length)


def blake3_keyed(key, data, length=32):
    return blake3_root(struct.unpack("<8I", key), data, KEYED_HASH, length)


def blake3_derive(context, material, length=32):
    key = blake3_root(BLAKE3_IV, context.encode(), DERIVE_KEY_CONTEXT, 32)
    return blake3_root(struct.unpack("<8I", key), material, DERIVE_KEY_MATERIAL, length)


# ChaCha20, Poly1305


def chacha20_block(key, counter, nonce):
    start = [*struct.unpack("<12I", b"expand 32-byte k" + key), counter, *struct.unpack("<3I", nonce)]
    state = start.copy()

    def quarter(a, b, c, d):
        for into, other, turned, by in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            state[into] = (state[into] + state[other]) & MASK32
            state[turned] = rotate32(state[turned] ^ state[into], by)

    for _ in range(10):
        for column in range(4):
            quarter(column, 4 + column, 8 + column, 12 + column)
        for column in range(4):
            quarter(column, 4 + (column + 1) % 4, 8 + (column + 2) % 4, 12 + (column + 3) % 4)
    return struct.pack("<16I", *((a + b) & MASK32 for a, b in zip(state, start)))


def chacha20(key, text, counter=0, nonce=bytes(12)):
    blocks = range(counter, counter + (len(text) + 63) // 64)
    stream = b"".join(chacha20_block(key, block, nonce) for block in blocks)
    return bytes(a ^ b for a, b in zip(text, stream))


def poly1305(key, message):
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    accumulator = 0
    for at in range(0, len(message), 16):
        block = message[at : at + 16] + b"\1"
        accumulator = (accumulator + int.from_bytes(block, "little")) * r % ((1 << 130) - 5)
    return ((accumulator + int.from_bytes(key[16:], "little")) & ((1 << 128) - 1)).to_bytes(16, "little")


def aead_seal(key, text, associated, nonce=bytes(12)):
    """ChaCha20-Poly1305: ciphertext, then tag."""
    ciphertext = chacha20(key, text, 1, nonce)
    padded = [part + bytes(-len(part) % 16) for part in (associated, ciphertext)]
    lengths = struct.pack("<QQ", len(associated), len(ciphertext))
    return ciphertext + poly1305(chacha20_block(key, 0, nonce)[:32], b"".join([*padded, lengths]))


# Ristretto255

P = (1 << 255) - 19
ORDER = (1 << 252) + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)


def is_negative(field):
    return field % P & 1


def absolute(field):
    return -field % P if is_negative(field) else field % P


def sqrt_ratio(u, v):
    """Whether u/v is a square, and the non-negative root of u/v, or else of SQRT_M1·u/v."""
    root = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    check = v * root * root % P
    flipped, flipped_i = check == -u % P, check == -u * SQRT_M1 % P
    if flipped or flipped_i:
        root = root * SQRT_M1 % P
    return check == u % P or flipped, absolute(root)


# RFC 9496, section 4.1, gives the odd root of a·d − 1.
SQRT_AD_MINUS_ONE = -sqrt_ratio(-D - 1, 1)[1] % P
INVSQRT_A_MINUS_D = sqrt_ratio(1, -1 - D)[1]


class Point:
    """An element in extended coordinates (x, y, z, t) on -x² + y² = z² + d·t², equal as its encoding is."""

    def __init__(self, x, y, z, t):
        self.coordinates = x % P, y % P, z % P, t % P

    def __add__(self, other):
        x1, y1, z1, t1 = self.coordinates
        x2, y2, z2, t2 = other.coordinates
        a, b = (y1 - x1) * (y2 - x2), (y1 + x1) * (y2 + x2)
        c, d = 2 * D * t1 * t2, 2 * z1 * z2
        e, f, g, h = b - a, d - c, d + c, b + a
        return Point(e * f, g * h, f * g, e * h)

    def __neg__(self):
        x, y, z, t = self.coordinates
        return Point(-x, y, z, -t)

    def __sub__(self, other):
        return self + -other

    def __rmul__(self, scalar):
        product, power = IDENTITY, self
        for bit in bin(scalar % ORDER)[:1:-1]:
            if bit == "1":
                product += power
            power += power
        return product

    def __eq__(self, other):
        return self.encode() == other.encode()

    def encode(self):
        x, y, z, t = self.coordinates
        u1, u2 = (z + y) * (z - y), x * y
        _, inverse_root = sqrt_ratio(1, u1 * u2 * u2 % P)
        den1, den2 = inverse_root * u1, inverse_root * u2
        z_inverse = den1 * den2 * t % P
        if is_negative(t * z_inverse):
            x, y, den_inverse = y * SQRT_M1, x * SQRT_M1, den1 * INVSQRT_A_MINUS_D
        else:
            den_inverse = den2
        if is_negative(x * z_inverse):
            y = -y
        return absolute(den_inverse * (z - y)).to_bytes(32, "little")

    @staticmethod
    def decode(encoding):
        s = int.from_bytes(encoding, "little")
        assert s < P and not is_negative(s), "not canonical"
        u1, u2 = 1 - s * s, 1 + s * s
        v = (-D * u1 * u1 - u2 * u2) % P
        was_square, inverse_root = sqrt_ratio(1, v * u2 * u2 % P)
        den_x = inverse_root * u2
        x, y = absolute(2 * s * den_x), u1 * inverse_root * den_x * v % P
        assert was_square and not is_negative(x * y) and y != 0, "not an element"
        return Point(x, y, 1, x * y)

    @staticmethod
    def from_uniform(wide):
        halves = (int.from_bytes(half, "little") % (1 << 255) for half in (wide[:32], wide[32:]))
        first, second = (Point._map(half % P) for half in halves)
        return first + second

    @staticmethod
    def _map(t):
        r = SQRT_M1 * t * t % P
        u, v = (r + 1) * (1 - D * D) % P, (-1 - r * D) * (r + D) % P
        was_square, s = sqrt_ratio(u, v)
        c = -1
        if not was_square:
            s, c = -absolute(s * t), r
        n = c * (r - 1) * (D - 1) * (D - 1) - v
        w0, w1, w2, w3 = 2 * s * v, n * SQRT_AD_MINUS_ONE, 1 - s * s, 1 + s * s
        return Point(w0 * w3, w2 * w1, w1 * w3, w0 * w2)


IDENTITY = Point(0, 1, 1, 0)
BASE = Point.decode(bytes.fromhex("e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76"))


def scalar_bytes(scalar):
    return (scalar % ORDER).to_bytes(32, "little")


def check_against_published_vectors():
    sponge = bytearray(200)
    sponge[0], sponge[135] = 0x06, 0x80
    assert bytes(keccak_f(sponge)[:32]) == hashlib.sha3_256().digest()
    merlin = Transcript(b"test protocol")
    merlin.append(b"some label", b"some data")
    published = "d5a21972d0d5fe320c0d263fac7fffb8145aa640af6e9bca177c03c7efcf0615"
    assert merlin.challenge(b"challenge", 32).hex() == published

    counting = bytes(at % 251 for at in range(2049))
    assert blake3(b"").hex() == "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    assert blake3(counting[:1025]).hex() == "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444"
    assert blake3(counting[:2049]).hex() == "5f4d72f40d7a5f82b15ca2b2e44b1de3c2ef86c426c95c1af0b6879522563030"
    whats = b"whats the Elvish word for friend"
    assert blake3_keyed(whats, b"").hex() == "92b2b75604ed3c761f9d6f62392c8a9227ad0ea3f09573e783f1498a4ed60d26"
    context = "BLAKE3 2019-12-27 16:29:52 test vectors context"
    assert blake3_derive(context, b"").hex() == "2cc39783c223154fea8dfb7c1b1660f2ac2dcbd1c1de8277b0b0dd39b7e50d7d"

    key = bytes.fromhex("85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b")
    assert poly1305(key, b"Cryptographic Forum Research Group").hex() == "a8061dc1305136c6c22b8baf0c0127a9"
    sealed = aead_seal(
        bytes(range(0x80, 0xA0)),
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
        b"sunscreen would be it.",
        bytes.fromhex("50515253c0c1c2c3c4c5c6c7"),
        bytes.fromhex("070000004041424344454647"),
    )
    assert sealed[:16].hex() == "d31a8d34648e60db7b86afbc53ef7ec2"
    assert sealed[-16:].hex() == "1ae10b594f09e26a7e902ecbd0600691"

    assert IDENTITY.encode() == bytes(32) and ORDER * BASE == IDENTITY
    assert (2 * BASE).encode().hex() == "6a493210f7499cd17fecb510ae0cea23a110e8d5b901f8acadd3095c73a3b919"
    espresso = hashlib.sha512(b"Ristretto is traditionally a short shot of espresso coffee").digest()
    published = "3066f82a1a747d45120d1740f14358531a8f04bbffe6a819f86dfe50f44a0a46"
    assert Point.from_uniform(espresso).encode().hex() == published


check_against_published_vectors()
