-- head_room: how much of its memory the server uses, as a scheduler saw it. From 85 % on new starts are
-- refused, until it is below 80 % again: what is left is for that which runs (design 5.9).
-- KEYS meta
-- ARGV server percent:int
-- Returns {'ok', 1 if starts are refused}
--- include partition

local full = rcall('HGET', meta_key, 'full')
if percent >= 85 or (full and percent >= 80) then
  if full ~= ARGV[2] then
    touch()
    rcall('HSET', meta_key, 'full', percent)
  end
  return { 'ok', 1 }
end
if full then
  touch()
  rcall('HDEL', meta_key, 'full')
end
return { 'ok', 0 }
