"""What the routers do: which head serves which token, in numbers and pictures.

  sums            what is added up of every token, on the device; the adapter
                  calls it, so it lies below models/ and imports types only
  statistics      the sums of a batch by dataset and kind of token
  gates           numbers out of the statistics: load, entropy, distances
  heads           numbers out of the weights: how alike the heads have become
  monitor         both of them, for the log of a run
  routing         the statistics of a checkpoint on records
  sequence_gates  the gates along one prompt and its answer
  plots           pictures of gates
  report          router.json, router.md and the pictures of a checkpoint

Imports point from the later files to the earlier ones.
"""
