"""Foreign preference formats to records of ours: one file per format in ``formats/``, listed in ``registry``."""
