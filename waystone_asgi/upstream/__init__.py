"""Moves bytes to providers: one module a way of doing it, behind the `Upstream` Protocol of
`types`.
"""
