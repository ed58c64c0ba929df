-- The index of runs: field 0x00 value 0x00 inverted start time 0x00 run id (design 4).
local function vis_place(start)
  return string.format('%012x', 281474976710655 - start) .. '\0' .. run_id
end

local function vis_member(field, value, start)
  return table.concat({ field, value, vis_place(start) }, '\0')
end

-- Search attributes: `index` has their `field 0x00 value`, order-preserving, with 0x01 between them; 100
-- at most. It is kept with the run, for it says what is to be removed from the index.
local function add_attributes(index, start)
  for part in string.gmatch(index, '[^\1]+') do
    rcall('ZADD', vis_key, 0, part .. '\0' .. vis_place(start))
  end
end

local function remove_attributes(index, start)
  for part in string.gmatch(index, '[^\1]+') do
    rcall('ZREM', vis_key, part .. '\0' .. vis_place(start))
  end
end
