"""What the gateway costs, beside a floor and beside other gateways; each module is one command.

Run from the project's root: `python -m benchmarks.overhead`. See README.md.
"""
