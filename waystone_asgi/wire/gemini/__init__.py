"""Gemini's generateContent as Google's API reference writes it: what is read and what is written.

The members are those of the Gemini API (ai.google.dev/api/generate-content) and of Vertex AI, in
their JSON spelling. Nothing is decided here.
"""
