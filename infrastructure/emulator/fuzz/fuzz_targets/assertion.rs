#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| azure_managed_redis_emulator::fuzzing::assertion(data));
