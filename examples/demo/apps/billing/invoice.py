"""Prints one invoice line."""
import os

print("release", os.environ.get("RELEASE", "?"), "total", 2 * 350 + 199)
