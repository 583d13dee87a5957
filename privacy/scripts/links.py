"""Simulates what links between chains tell, and compares with the formulas of `privacy/src/links.rs`.

    python3 -m venv venv && venv/bin/pip install numpy
    venv/bin/python privacy/scripts/links.py

Run by hand; no test needs it. In every trial noise records get input chains, mailboxes get output chains (and records
middle chains, with three layers), all uniformly at random; Alice and Bob are idle. What is drawn is the logarithm of the
exact likelihood ratio of "they talk" to "they are idle", given all links and all counts of mailboxes on each output chain.
Its variance is what `Links::variance` states, without the safety factor. What it printed is at the end of this file.
"""

import numpy as np

RNG = np.random.default_rng(20)


def noise(m, records):
    """Lone records and pairs on each output chain: half of the records are in pairs."""
    lone, pairs = records // 2, records // 4
    m1 = RNG.multinomial(lone, [1 / m] * m)
    m2 = RNG.multinomial(pairs, [1 / m] * m)
    return m1, m2


def with_two_idle(m, m1):
    alice, bob = RNG.integers(m, size=2)
    m1[alice] += 1
    m1[bob] += 1
    return alice, bob


def two_layers(m, records):
    """ln of the likelihood ratio, of which the part for the totals is constant; and that of Bob against Charlie."""
    m1, m2 = noise(m, records)
    others = m1 + 2 * m2
    links = np.array([RNG.multinomial(t, [1 / m] * m) for t in others]).T  # links[x][i]
    alice, bob = with_two_idle(m, m1)
    links[0][alice] += 1
    links[1][bob] += 1
    total = m1 + 2 * m2
    return ratios(m1, m2, total, links[0], links[1], links[2])


def ratios(m1, m2, total, a, b, c):
    """Links of Alice, Bob and Charlie as expected numbers of records per output chain."""
    pairs_of = total * (total - 1.0)
    together = lambda x, y: np.sum(m2 * 2 * x * y / pairs_of) / (2 * m2.sum())
    apart = lambda x, y: (
        np.sum(m1 * x / total) * np.sum(m1 * y / total)
        - np.sum((m1 * x / total) * (m1 * y / total))
        + np.sum(m1 * (m1 - 1) * x * y / pairs_of)
    ) / (m1.sum() * (m1.sum() - 1.0))
    talk = np.log(together(a, b) / apart(a, b))
    other = np.log(together(a, c) / apart(a, c))
    return talk, talk - other


def three_layers(m, records):
    """The same with a middle chain: both ends' ways are averaged over middle chains, two of one link not the same record."""
    m1, m2 = noise(m, records)
    alice, bob = with_two_idle(m, m1)
    total = m1 + 2 * m2
    inner = np.array([RNG.multinomial(t, [1 / m] * m) for t in total]).T  # inner[r][i]
    outer = np.array([RNG.multinomial(t, [1 / m] * m) for t in inner.sum(axis=1)]).T  # outer[x][r]
    arrived = inner.sum(axis=1)
    a, b, c = (outer[x] / arrived for x in range(3))  # chance that a record that left r came from x
    def way(x):
        return x @ inner
    def both(x, y):
        return way(x) * way(y) - (x * y) @ inner  # two different records on each chain
    pairs_of = total * (total - 1.0)
    def together(x, y):
        return np.sum(m2 * 2 * both(x, y) / pairs_of) / (2 * m2.sum())
    def apart(x, y):
        wx, wy = m1 * way(x) / total, m1 * way(y) / total
        cross = wx.sum() * wy.sum() - np.sum(wx * wy)
        return (cross + np.sum(m1 * (m1 - 1) * both(x, y) / pairs_of)) / (m1.sum() * (m1.sum() - 1.0))
    talk = np.log(together(a, b) / apart(a, b))
    other = np.log(together(a, c) / apart(a, c))
    return talk, talk - other


def formulas(layers, m, records):
    shares, others = 6 / records, 1 - 1 / m
    if layers == 2:
        first = m**3 / records**2 * others**3
        second = 2 * m**2 / records * others * shares
        return first + second * (1 - 2 / m), 2 * first + second
    both = 1 / ((records / m**2) ** 4 * m**3)
    first = 2 * m**3 / records**2 * shares
    return first + both, first + 2 * both


def main():
    print(f"{'layers':>6} {'m':>4} {'records':>8}  {'talk:idle':>10} {'formula':>10} ratio  {'Bob:Charlie':>11} {'formula':>10} ratio")
    for layers, m, records, trials in [
        (2, 5, 1000, 20000), (2, 10, 2000, 20000), (2, 10, 20000, 8000), (2, 25, 10000, 6000), (2, 50, 50000, 2000),
        (3, 5, 500, 10000), (3, 10, 500, 10000), (3, 10, 2000, 8000), (3, 25, 2500, 3000),
    ]:
        draw = two_layers if layers == 2 else three_layers
        talk, who = np.array([draw(m, records) for _ in range(trials)]).T
        one, two = formulas(layers, m, records)
        print(f"{layers:6} {m:4} {records:8}  {talk.var():10.3e} {one:10.3e} {talk.var() / one:.3f}  {who.var():11.3e} {two:10.3e} {who.var() / two:.3f}")


if __name__ == "__main__":
    main()

# With numpy 2.4.6:
#
# layers    m  records   talk:idle    formula ratio  Bob:Charlie    formula ratio
#      2    5     1000   2.166e-04  2.080e-04 1.042    4.075e-04  3.680e-04 1.107
#      2   10     2000   3.967e-04  3.983e-04 0.996    6.738e-04  6.345e-04 1.062
#      2   10    20000   4.044e-06  3.983e-06 1.015    6.856e-06  6.345e-06 1.080
#      2   25    10000   2.060e-04  2.045e-04 1.008    3.582e-04  3.485e-04 1.028
#      2   50    50000   5.694e-05  5.835e-05 0.976    1.014e-04  1.059e-04 0.957
#      3    5      500   4.832e-06  1.205e-05 0.401    8.076e-06  1.210e-05 0.667
#      3   10      500   6.536e-05  9.760e-05 0.670    8.191e-05  9.920e-05 0.826
#      3   10     2000   9.515e-07  1.506e-06 0.632    1.180e-06  1.513e-06 0.780
#      3   25     2500   1.072e-05  1.225e-05 0.875    1.134e-05  1.250e-05 0.907
