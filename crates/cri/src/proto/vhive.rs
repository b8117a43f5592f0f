//! The two services of the original vHive: `proto.Orchestrator`, and the greeter that forwards to a microVM.

use prost::Message;

pub(crate) const START_VM: &str = "/proto.Orchestrator/StartVM";
pub(crate) const STOP_SINGLE_VM: &str = "/proto.Orchestrator/StopSingleVM";
pub(crate) const STOP_VMS: &str = "/proto.Orchestrator/StopVMs";
pub(crate) const FWD_HELLO: &str = "/helloworld.FwdGreeter/FwdHello";
/// What is called in the guest.
pub(crate) const SAY_HELLO: &str = "/helloworld.Greeter/SayHello";

#[derive(Clone, PartialEq, Message)]
pub(crate) struct StartVmReq {
    #[prost(string, tag = "1")]
    pub(crate) image: String,
    #[prost(string, tag = "2")]
    pub(crate) id: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct StartVmResp {
    #[prost(string, tag = "1")]
    pub(crate) message: String,
    /// Where the time of the start went.
    #[prost(string, tag = "2")]
    pub(crate) profile: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct StopSingleVmReq {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Status {
    #[prost(string, tag = "1")]
    pub(crate) message: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct FwdHelloReq {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    #[prost(string, tag = "2")]
    pub(crate) image: String,
    #[prost(string, tag = "3")]
    pub(crate) payload: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct FwdHelloResp {
    #[prost(bool, tag = "1")]
    pub(crate) is_cold_start: bool,
    #[prost(string, tag = "2")]
    pub(crate) payload: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct HelloRequest {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct HelloReply {
    #[prost(string, tag = "1")]
    pub(crate) message: String,
}
