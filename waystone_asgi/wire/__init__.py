"""The vocabularies spoken on the wire, one a file: Structs and codecs, nothing else."""
