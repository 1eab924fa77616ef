"""Every checkable claim about both architectures, measured: docs/claims.md.

  python -m tools.claims                      measures what has no file yet
  python -m tools.claims --only=clusterings   only that
  python -m tools.claims --list               says what is there and what not
  python -m tools.claims --report             writes the page and its plots

A measurement is a function of `counts` and `equalities`, which count, time or
compare, or a study of `studies`, which trains the same with one thing changed,
by the seeds 0, 1 and 2. What it found is a file in results/claims/, written
when it is whole, a study's after each run: what is cut off is done again. A
claim of `claims` says in our words what the papers say, where, and judges by
what was measured; the page is made of both and of nothing else.
"""
