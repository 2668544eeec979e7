//! Sends parked jobs again once what they wait for is over.
