"""An LLM gateway that lives inside your own Python web application."""
