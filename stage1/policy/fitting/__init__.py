"""How the three policies are fitted on val_calib. Needs scipy; deciding with a fitted policy does not import this."""
