"""The sessions that run or wait to, and who hears of them."""
