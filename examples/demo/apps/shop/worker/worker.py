"""Empties the basket."""
basket = ["tea", "bread"]
while basket:
    print("packed", basket.pop())
