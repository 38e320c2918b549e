"""plmrs train: SASRec on the prepared histories."""
