"""Aggregated range proofs (Bünz and others, "Bulletproofs", IEEE S&P 2018, section 4.2), prover and verifier, straight
from the equations: every sum written out, every equation checked on its own, nothing folded."""

import hashlib

from primitives import BASE, IDENTITY, ORDER, Point, Transcript, scalar_bytes


def generators(letter, width, count):
    """The generators of `count` values, `width` for each: SHAKE256 of a label for each value, hashed to the group."""
    points = []
    for value in range(count):
        stream = hashlib.shake_256(b"GeneratorsChain" + letter + value.to_bytes(4, "little")).digest(64 * width)
        points += [Point.from_uniform(stream[64 * at : 64 * (at + 1)]) for at in range(width)]
    return points


def total(points):
    result = IDENTITY
    for point in points:
        result += point
    return result


def combine(scalars, points):
    return total(scalar * point for scalar, point in zip(scalars, points))


def inner(left, right):
    return sum(a * b for a, b in zip(left, right)) % ORDER


def inverse(scalar):
    return pow(scalar, -1, ORDER)


def powers(base, count):
    return [pow(base, exponent, ORDER) for exponent in range(count)]


class Statement:
    """Commitments `v·B + γ·H` to values of `width` bits, in a context, as the `part`-th proof of a pledge."""

    def __init__(self, h, context, part, width, commitments):
        self.h, self.width, self.commitments = h, width, commitments
        self.bits = width * len(commitments)
        self.g_bits = generators(b"G", width, len(commitments))
        self.h_bits = generators(b"H", width, len(commitments))
        self.transcript = Transcript(b"hippodrome v1 pledge range")
        self.transcript.append(b"context", context)
        self.transcript.number(b"part", part)
        self.transcript.append(b"dom-sep", b"rangeproof v1")
        self.transcript.number(b"n", width)
        self.transcript.number(b"m", len(commitments))
        for commitment in commitments:
            self.transcript.append(b"V", commitment.encode())

    def absorb(self, label, point):
        self.transcript.append(label, point.encode())

    def challenges_of_bits(self, a, s):
        self.absorb(b"A", a)
        self.absorb(b"S", s)
        self.y, self.z = self.transcript.scalar(b"y"), self.transcript.scalar(b"z")
        # z^(2+j) · 2^i for bit i of value j.
        weights = [pow(self.z, 2 + value, ORDER) for value in range(len(self.commitments))]
        self.value_weights = weights
        self.bit_weights = [weight * (1 << bit) % ORDER for weight in weights for bit in range(self.width)]
        self.y_powers = powers(self.y, self.bits)
        self.h_scaled = [pow(self.y, -at, ORDER) * point for at, point in enumerate(self.h_bits)]

    def challenge_of_polynomial(self, t_1, t_2):
        self.absorb(b"T_1", t_1)
        self.absorb(b"T_2", t_2)
        self.x = self.transcript.scalar(b"x")

    def challenge_of_product(self, t_x, t_x_blinding, e_blinding):
        for label, scalar in ((b"t_x", t_x), (b"t_x_blinding", t_x_blinding), (b"e_blinding", e_blinding)):
            self.transcript.append(label, scalar_bytes(scalar))
        self.q = self.transcript.scalar(b"w") * BASE
        self.transcript.append(b"dom-sep", b"ipp v1")
        self.transcript.number(b"n", self.bits)

    def challenge_of_halving(self, left, right):
        self.absorb(b"L", left)
        self.absorb(b"R", right)
        return self.transcript.scalar(b"u")


def prove(statement, values, blindings, draw):
    """The proof's bytes; `draw` gives the next random scalar."""
    width, h = statement.width, statement.h
    a_l = [value >> bit & 1 for value in values for bit in range(width)]
    a_r = [bit - 1 for bit in a_l]
    alpha, rho, s_l, s_r = 0, 0, [], []
    for _ in values:
        alpha, rho = alpha + draw(), rho + draw()
        s_l += [draw() for _ in range(width)]
        s_r += [draw() for _ in range(width)]
    a = alpha * h + combine(a_l, statement.g_bits) + combine(a_r, statement.h_bits)
    s = rho * h + combine(s_l, statement.g_bits) + combine(s_r, statement.h_bits)
    statement.challenges_of_bits(a, s)

    y_powers, z = statement.y_powers, statement.z
    l_0 = [bit - z for bit in a_l]
    r_0 = [y * (bit + z) + weight for y, bit, weight in zip(y_powers, a_r, statement.bit_weights)]
    r_1 = [y * mask for y, mask in zip(y_powers, s_r)]
    tau_1 = tau_2 = 0
    for _ in values:
        tau_1, tau_2 = tau_1 + draw(), tau_2 + draw()
    t_1 = (inner(l_0, r_1) + inner(s_l, r_0)) * BASE + tau_1 * h
    t_2 = inner(s_l, r_1) * BASE + tau_2 * h
    statement.challenge_of_polynomial(t_1, t_2)

    x = statement.x
    left = [(zero + one * x) % ORDER for zero, one in zip(l_0, s_l)]
    right = [(zero + one * x) % ORDER for zero, one in zip(r_0, r_1)]
    t_x = inner(left, right)
    t_x_blinding = (inner(statement.value_weights, blindings) + tau_1 * x + tau_2 * x * x) % ORDER
    e_blinding = (alpha + rho * x) % ORDER
    statement.challenge_of_product(t_x, t_x_blinding, e_blinding)
    halvings, last = prove_product(statement, left, right)
    points = [a, s, t_1, t_2]
    parts = [point.encode() for point in points]
    parts += [scalar_bytes(scalar) for scalar in (t_x, t_x_blinding, e_blinding)]
    parts += [point.encode() for halving in halvings for point in halving]
    return b"".join(parts + [scalar_bytes(scalar) for scalar in last])


def prove_product(statement, left, right):
    """That `left` and `right` open to their inner product, by halving both until one entry is left."""
    g, h, halvings = statement.g_bits, statement.h_scaled, []
    while len(left) > 1:
        half = len(left) // 2
        first = combine(left[:half], g[half:]) + combine(right[half:], h[:half])
        first += inner(left[:half], right[half:]) * statement.q
        second = combine(left[half:], g[:half]) + combine(right[:half], h[half:])
        second += inner(left[half:], right[:half]) * statement.q
        halvings.append((first, second))
        u = statement.challenge_of_halving(first, second)
        left = [(a * u + b * inverse(u)) % ORDER for a, b in zip(left[:half], left[half:])]
        right = [(a * inverse(u) + b * u) % ORDER for a, b in zip(right[:half], right[half:])]
        g, h = fold(g, inverse(u), u), fold(h, u, inverse(u))
    return halvings, (left[0], right[0])


def fold(points, first, second):
    half = len(points) // 2
    return [first * a + second * b for a, b in zip(points[:half], points[half:])]


def verify(statement, proof):
    """Whether both equations hold."""
    parts = [proof[at : at + 32] for at in range(0, len(proof), 32)]
    a, s, t_1, t_2 = (Point.decode(part) for part in parts[:4])
    t_x, t_x_blinding, e_blinding, last_left, last_right = (
        int.from_bytes(part, "little") for part in parts[4:7] + parts[-2:]
    )
    halvings = [Point.decode(part) for part in parts[7:-2]]
    statement.challenges_of_bits(a, s)
    statement.challenge_of_polynomial(t_1, t_2)
    statement.challenge_of_product(t_x, t_x_blinding, e_blinding)
    h, x, z = statement.h, statement.x, statement.z

    # The polynomial: t(x) is what the commitments and T_1, T_2 say.
    delta = (z - z * z) * sum(statement.y_powers) - z * sum(statement.bit_weights)
    said = combine(statement.value_weights, statement.commitments) + delta * BASE + x * t_1 + x * x * t_2
    if t_x * BASE + t_x_blinding * h != said:
        return False

    # The product: A + x·S opens to vectors whose inner product is t(x).
    folded = a + x * s - e_blinding * h - z * total(statement.g_bits) + t_x * statement.q
    on_h = [z * y + weight for y, weight in zip(statement.y_powers, statement.bit_weights)]
    folded += combine(on_h, statement.h_scaled)
    g, h = statement.g_bits, statement.h_scaled
    for first, second in zip(halvings[::2], halvings[1::2]):
        u = statement.challenge_of_halving(first, second)
        folded += u * u * first + inverse(u * u) * second
        g, h = fold(g, inverse(u), u), fold(h, u, inverse(u))
    return folded == last_left * g[0] + last_right * h[0] + last_left * last_right * statement.q
