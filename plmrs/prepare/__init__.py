"""plmrs prepare: raw logs to ids, histories and texts."""
