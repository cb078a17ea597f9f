"""Asks models behind an OpenAI-compatible server. The SDK is imported when the first request is sent."""
