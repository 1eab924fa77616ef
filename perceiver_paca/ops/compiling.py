"""How XLA compiles what runs once: fast, not well."""

# At level 0 the language model's 201 million random numbers take 2 of 37 CPU
# seconds less to compile, and 31 to draw instead of 6.
RUNS_ONCE = {'xla_backend_optimization_level': 1}
