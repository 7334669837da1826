//! io_uring made safe to hold: rings, tokens, buffers. Knows neither echo nor measurement
