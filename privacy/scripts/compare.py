"""Compares `hippodrome account` with Google's dp-accounting, which shares no code with it.

    python3 -m venv venv && venv/bin/pip install dp-accounting==0.6.0
    cargo build --release
    venv/bin/python privacy/scripts/compare.py target/release/hippodrome

Run by hand; no test needs it. The library is given the same distribution of a count; it rounds losses up, or down, to a grid
of its own and composes by its own FFT, so what it gives is above, or below, the exact value of one direction. Of the two
directions the worse is taken. Where noise leans to one side, `hippodrome account` may be above: directions may change from
round to round. What the script printed is at the end of this file.
"""

import json
import math
import subprocess
import sys

import numpy as np
from dp_accounting.pld import privacy_loss_distribution
from scipy import stats

LN_2 = 0.693147


def beta_binomial(n, a):
    x = np.arange(n + 1)
    return stats.betabinom(n, a, a).pmf(x)


def poisson(mean):
    x = np.arange(int(mean + 14 * math.sqrt(mean)) + 20)
    return stats.poisson(mean).pmf(x)


def negative_binomial(shape, mean):
    x = np.arange(int(mean * 40))
    return stats.nbinom(shape, shape / (shape + mean)).pmf(x)


def discrete_gaussian(mean, sigma):
    x = np.arange(int(mean + 12 * sigma))
    weight = np.exp(-((x - mean) ** 2) / (2 * sigma**2))
    return weight / weight.sum()


def convolved(pmf, servers):
    total = np.array([1.0])
    for _ in range(servers):
        total = np.convolve(total, pmf)
    return total


def library(pmf, shift, rounds, epsilon, grid):
    """Bounds on delta from below and above, from log masses, for noise against shifted noise and the reverse."""
    keep = pmf > 1e-30
    first, last = np.argmax(keep), len(pmf) - np.argmax(keep[::-1]) - 1
    masses = pmf[first : last + 1]
    upper = {int(first + i): math.log(p) for i, p in enumerate(masses) if p > 0}
    lower = {value + shift: log for value, log in upper.items()}

    def delta(one, other, pessimistic):
        pld = privacy_loss_distribution.from_two_probability_mass_functions(
            one, other, pessimistic_estimate=pessimistic, value_discretization_interval=grid
        )
        return pld.self_compose(rounds).get_delta_for_epsilon(epsilon)

    return [max(delta(lower, upper, up), delta(upper, lower, up)) for up in (False, True)]


def ours(binary, arguments, shift, rounds, epsilon, servers=1):
    command = [binary, "account", "--json", "--mechanism", *arguments]
    command += ["--servers", str(servers), "--shift", str(shift)]
    command += ["--rounds", str(rounds), "--epsilon", str(epsilon)]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["delta"]


CASES = [
    # arguments, masses of one server, servers, shift, rounds, epsilon
    ("beta-binomial --slots 100 --shape 3", beta_binomial(100, 3), 1, 1, 10, 1.0),
    ("beta-binomial --slots 1000 --shape 4", beta_binomial(1000, 4), 1, 1, 1000, LN_2),
    ("beta-binomial --slots 1000 --shape 4", beta_binomial(1000, 4), 1, 2, 200, LN_2),
    ("beta-binomial --slots 50 --shape 0.25", beta_binomial(50, 0.25), 64, 1, 1000, LN_2),
    ("beta-binomial --slots 171 --shape 1", beta_binomial(171, 1), 8, 1, 1000, LN_2),
    ("poisson --mean 30", poisson(30), 1, 1, 1, LN_2),
    ("poisson --mean 1000", poisson(1000), 1, 1, 100, 1.0),
    ("negative-binomial --shape 5 --mean 500", negative_binomial(5, 500), 1, 1, 1000, LN_2),
    ("discrete-gaussian --mean 690 --sigma 145", discrete_gaussian(690, 145), 1, 1, 1000, LN_2),
]


def main():
    binary = sys.argv[1]
    print(f"{'mechanism':42} {'H':>3} {'D':>2} {'rounds':>6} {'at least':>12} {'hippodrome':>12} {'at most':>12}")
    for arguments, pmf, servers, shift, rounds, epsilon in CASES:
        found = ours(binary, arguments.split(), shift, rounds, epsilon, servers)
        low, high = library(convolved(pmf, servers), shift, rounds, epsilon, max(1e-3 / rounds, 1e-6))
        print(f"{arguments:42} {servers:3} {shift:2} {rounds:6} {low:12.5e} {found:12.5e} {high:12.5e}")


if __name__ == "__main__":
    main()

# With dp-accounting 0.6.0:
#
# mechanism                                    H  D rounds     at least   hippodrome      at most
# beta-binomial --slots 100 --shape 3          1  1     10  7.15214e-04  7.15731e-04  7.16315e-04
# beta-binomial --slots 1000 --shape 4         1  1   1000  3.70198e-05  3.72965e-05  3.75733e-05
# beta-binomial --slots 1000 --shape 4         1  2    200  2.94102e-05  2.95431e-05  2.96757e-05
# beta-binomial --slots 50 --shape 0.25       64  1   1000  1.06402e-05  1.07509e-05  1.08616e-05
# beta-binomial --slots 171 --shape 1          8  1   1000  9.39142e-05  9.46422e-05  9.53724e-05
# poisson --mean 30                            1  1      1  1.05953e-04  1.06118e-04  1.07643e-04
# poisson --mean 1000                          1  1    100  1.14319e-04  1.22873e-04  1.15584e-04
# negative-binomial --shape 5 --mean 500       1  1   1000  1.59257e-05  1.01688e-04  1.61834e-05
# discrete-gaussian --mean 690 --sigma 145     1  1   1000  9.43359e-05  9.48648e-05  9.53467e-05
