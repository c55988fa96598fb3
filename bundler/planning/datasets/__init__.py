"""What LLaMA-Factory would make of a dataset: each record kept or dropped, or the run over before it began."""
