"""Tails and quantiles of distributions, by SciPy.

SciPy's module takes 0.7 s to import, more than all else that a command needs, and a run of few blocks needs none of it:
it is imported when the first value is asked for.
"""

from __future__ import annotations


def binomial_p(successes: int, n: int) -> float:
    """Return the two-sided p of so many successes in n fair trials (exact).

    >>> binomial_p(0, 5)
    0.0625
    """
    from scipy.stats import binomtest

    return float(binomtest(successes, n, 0.5).pvalue)


def t_quantile(share: float, freedom: float) -> float:
    """Return the value below which that share of Student's t lies.

    >>> round(t_quantile(0.975, 4), 3)
    2.776
    """
    from scipy.stats import t

    return float(t.ppf(share, freedom))


def t_tail(value: float, freedom: float) -> float:
    """Return the share of Student's t above a value."""
    from scipy.stats import t

    return float(t.sf(value, freedom))


def normal_tail(value: float) -> float:
    """Return the share of the normal distribution above a value.

    >>> round(normal_tail(1.96), 3)
    0.025
    """
    from scipy.stats import norm

    return float(norm.sf(value))


def normal_quantile_above(share: float) -> float:
    """Return the value above which that share of the normal distribution lies.

    >>> round(normal_quantile_above(0.025), 2)
    1.96
    """
    from scipy.stats import norm

    return float(norm.isf(share))
