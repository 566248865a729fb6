"""Renders the report at build time."""
for month, total in (("January", 1200), ("February", 1310)):
    print(f"{month:<10}{total:>8}")
