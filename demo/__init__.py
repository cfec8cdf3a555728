"""`make demo`: the main job, shown and checked, on a "host" that is a network namespace of its own."""
