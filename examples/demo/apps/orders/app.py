"""Counts orders."""
import sys

orders = [("tea", 2), ("bread", 1)]
sys.stdout.write("%d items\n" % sum(n for _, n in orders))
