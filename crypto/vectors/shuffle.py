"""The shuffle argument, prover and verifier, straight from its equations: every sum written out, every equation
checked on its own, nothing folded."""

from primitives import BASE, IDENTITY, ORDER, Point, Transcript, blake3_derive, scalar_bytes

ROW_WIDTH = 4096


def generator(label, index):
    return Point.from_uniform(blake3_derive(label, index.to_bytes(8, "little"), 64))


class CommitmentKey:
    """H and as many G as are asked for."""

    def __init__(self):
        self.h = generator("hippodrome v1 commitment key H", 0)
        self.g = []

    def columns(self, count):
        while len(self.g) < count:
            self.g.append(generator("hippodrome v1 commitment key G", len(self.g)))
        return self.g[:count]

    def commit(self, values, randomizer):
        return total(value * g for value, g in zip(values, self.columns(len(values)))) + randomizer * self.h


KEY = CommitmentKey()


def total(points):
    result = IDENTITY
    for point in points:
        result += point
    return result


def row_count(count):
    return (count + ROW_WIDTH - 1) // ROW_WIDTH


def rows(values, count):
    """Cuts a vector into as many rows as a vector of `count` entries has."""
    return [values[ROW_WIDTH * row : ROW_WIDTH * (row + 1)] for row in range(row_count(count))]


def commit_rows(values, randomizers, count):
    return [KEY.commit(row, randomizer) for row, randomizer in zip(rows(values, count), randomizers)]


def encode_all(points):
    return [point.encode() for point in points]


class Challenges:
    """The transcript of one proof, message by message."""

    def __init__(self, statement, inputs, outputs):
        self.count = len(inputs)
        self.transcript = Transcript(b"hippodrome v1 shuffle")
        absorb_statement(self.transcript, statement, inputs, outputs)

    def after_permutation(self, c):
        self.transcript.commitments(b"C", encode_all(c))
        seed = self.transcript.challenge(b"t", 64)
        stream = blake3_derive("hippodrome v1 shuffle challenge t", seed, 16 * self.count)
        self.t = [int.from_bytes(stream[16 * j : 16 * (j + 1)], "little") for j in range(self.count)]

    def after_matching(self, e_rows):
        self.transcript.commitments(b"E", encode_all(e_rows))
        self.lam, self.z = self.transcript.scalar(b"lambda"), self.transcript.scalar(b"z")
        self.u = [(self.lam * (j + 1) + t - self.z) % ORDER for j, t in enumerate(self.t)]

    def after_masks(self, d, c_delta, c_a, r, b_prime):
        for label, points in ((b"D", d), (b"C_Delta", c_delta), (b"C_a", c_a), (b"R", [r]), (b"B'", [b_prime])):
            self.transcript.commitments(label, encode_all(points))
        self.e = self.transcript.scalar(b"e")
        assert self.e != 0


def key_list_digest(keys):
    encodings = b"".join(encode_all(keys))
    return blake3_derive("hippodrome v1 key list", len(keys).to_bytes(8, "little") + encodings)


def absorb_statement(transcript, statement, inputs, outputs):
    transcript.append(b"context", statement["context"])
    transcript.number(b"count", len(inputs))
    transcript.append(b"P", statement["base"].encode())
    transcript.append(b"Q", statement["blinded_base"].encode())
    transcript.append(b"X", key_list_digest(inputs))
    transcript.append(b"Y", key_list_digest(outputs))
    transcript.append(b"input root", statement["input_root"])
    transcript.append(b"output root", statement["output_root"])
    transcript.append(b"removed", statement["removed"])


def prove(statement, inputs, outputs, permutation, b, random_scalar):
    """Proves outputs[i] = b·inputs[permutation[i] − 1]; `permutation` counts from 1. Returns the proof's bytes."""
    count, height = len(inputs), row_count(len(inputs))

    def uniform(name, length):
        return [random_scalar(f"{name}{index}") for index in range(length)]

    c_random, e_random, d_random, delta_random, a_random = (uniform(f"row {name}", height) for name in "CEDda")
    challenges = Challenges(statement, inputs, outputs)
    c = commit_rows(permutation, c_random, count)
    challenges.after_permutation(c)
    permuted = [challenges.t[source - 1] for source in permutation]
    e_rows = commit_rows(permuted, e_random, count)
    challenges.after_matching(e_rows)
    v = [challenges.u[source - 1] for source in permutation]

    d, delta, beta = uniform("d", count), uniform("delta", count), random_scalar("beta")
    if count == 1:
        d[0] = 0
    delta[0], delta[-1] = d[0], 0
    products = [-delta[i] * d[i + 1] for i in range(count - 1)]
    cross, a = [], 1
    for i in range(count - 1):
        a = a * v[i] % ORDER
        cross.append(delta[i + 1] - a * d[i + 1] - delta[i] * v[i + 1])
    d_rows = commit_rows(d, d_random, count)
    delta_rows = commit_rows(products, delta_random, count)
    a_rows = commit_rows(cross, a_random, count)
    t_point = total(u * key for u, key in zip(challenges.u, inputs))
    link = total(mask * key for mask, key in zip(d, outputs)) - beta * t_point
    key_mask = beta * statement["base"]
    challenges.after_masks(d_rows, delta_rows, a_rows, link, key_mask)
    e, lam = challenges.e, challenges.lam

    scalars = [e * value + mask for value, mask in zip(v, d)]
    scalars += [e * value + mask for value, mask in zip(cross, products)]
    scalars.append(e * b + beta)
    scalars += [e * (lam * c_r + e_r) + d_r for c_r, e_r, d_r in zip(c_random, e_random, d_random)]
    scalars += [e * a_r + delta_r for a_r, delta_r in zip(a_random, delta_random)]
    points = [*c, *e_rows, *d_rows, *delta_rows, *a_rows, link, key_mask]
    return b"".join([*encode_all(points), *map(scalar_bytes, scalars)])


def verify(statement, inputs, outputs, proof):
    """Each of the three checks by itself."""
    count, height = len(inputs), row_count(len(inputs))
    parts = [proof[at : at + 32] for at in range(0, len(proof), 32)]
    take = iter(parts)

    def points(length):
        return [Point.decode(next(take)) for _ in range(length)]

    def scalars(length):
        values = [int.from_bytes(next(take), "little") for _ in range(length)]
        assert all(value < ORDER for value in values)
        return values

    c, e_rows, d_rows, delta_rows, a_rows = (points(height) for _ in range(5))
    link, key_mask = points(2)
    g, f, (b_hat,) = scalars(count), scalars(count - 1), scalars(1)
    g_random, f_random = scalars(height), scalars(height)
    assert next(take, None) is None

    challenges = Challenges(statement, inputs, outputs)
    challenges.after_permutation(c)
    challenges.after_matching(e_rows)
    challenges.after_masks(d_rows, delta_rows, a_rows, link, key_mask)
    e, lam, z = challenges.e, challenges.lam, challenges.z

    checks = []
    for row, values in enumerate(rows(g, count)):
        ones = total(KEY.columns(len(values)))
        opened = lam * c[row] + e_rows[row] - z * ones
        checks.append(KEY.commit(values, g_random[row]) == e * opened + d_rows[row])
    for row, values in enumerate(rows(f, count)):
        checks.append(KEY.commit(values, f_random[row]) == e * a_rows[row] + delta_rows[row])
    running, product = g[0], e
    for i in range(count - 1):
        running = (running * g[i + 1] + f[i]) * pow(e, -1, ORDER) % ORDER
    for u in challenges.u:
        product = product * u % ORDER
    checks.append(running == product)
    t_point = total(u * key for u, key in zip(challenges.u, inputs))
    checks.append(total(value * key for value, key in zip(g, outputs)) - b_hat * t_point == link)
    checks.append(b_hat * statement["base"] == e * statement["blinded_base"] + key_mask)
    return all(checks)


def prove_equality(transcript, base, power, other_base, other_power, secret, nonce):
    """Chaum and Pedersen: challenge, then response."""
    transcript.append(b"P", base.encode())
    transcript.append(b"Q", power.encode())
    transcript.commitments(b"X, Y", encode_all([other_base, other_power]))
    transcript.commitments(b"K", encode_all([nonce * base, nonce * other_base]))
    challenge = transcript.scalar(b"c")
    return scalar_bytes(challenge) + scalar_bytes(nonce + challenge * secret)


def prove_aggregate(statement, inputs, outputs, b, nonce):
    transcript = Transcript(b"hippodrome v1 aggregate")
    absorb_statement(transcript, statement, inputs, outputs)
    sums = total(inputs), total(outputs)
    return prove_equality(transcript, statement["base"], statement["blinded_base"], *sums, b, nonce)


def statement_for(b, digest):
    base = 5 * BASE
    roots = {name: digest(name) for name in ("context", "input_root", "output_root", "removed")}
    return {"base": base, "blinded_base": b * base, **roots}
