-- wrk: the addresses given as arguments in turn, and at the end one line of JSON.
local addresses, at = {}, 0

function init(arguments)
  for _, address in ipairs(arguments) do
    addresses[#addresses + 1] = wrk.format("GET", address)
  end
end

function request()
  at = at % #addresses + 1
  return addresses[at]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"requests":%d,"seconds":%.3f,"bytes":%d,"not_2xx":%d,"socket_errors":%d,"p50_ms":%.2f,"p99_ms":%.2f}\n',
    summary.requests, summary.duration / 1e6, summary.bytes, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
