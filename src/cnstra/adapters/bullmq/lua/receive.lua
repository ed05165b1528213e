--- ours leasing
return lease(KEYS[1], tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]))
