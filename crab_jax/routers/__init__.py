"""What the routers do: sums, statistics, pictures, report."""
