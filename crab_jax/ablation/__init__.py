"""Studies that train many adapters on one backbone and compare them."""
