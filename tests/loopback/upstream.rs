//! A local server that stands for LaunchDarkly or Segment.

use super::{Answer, Client, PATIENCE, loopback_options};
use exptap::endpoint::Options;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

/// A server that writes down every request as it came and answers with prepared bytes.
pub struct Upstream {
    pub address: SocketAddr,
    requests: Receiver<Answer>,
}

impl Upstream {
    /// `answer` gets each request and gives the bytes to send back.
    pub fn start(answer: impl Fn(&Answer) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (write_down, requests) = channel();
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (answer, write_down): (_, Sender<Answer>) = (Arc::clone(&answer), write_down.clone());
                std::thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    let mut connection = Client::over(stream.try_clone().unwrap());
                    while let Some(request) = connection.message() {
                        let answer = answer(&request);
                        if write_down.send(request).is_err() || stream.write_all(&answer).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, requests }
    }

    pub fn options(&self) -> Options {
        Options { forward: Some(format!("http://{}", self.address).parse().unwrap()), ..loopback_options() }
    }

    pub fn request(&self) -> Answer {
        self.requests.recv_timeout(PATIENCE).expect("the upstream got no request")
    }

    pub fn has_no_more_requests(&self) -> bool {
        self.requests.try_recv().is_err()
    }

    /// Requests that came and were not looked at yet, without waiting for more.
    pub fn come(&self) -> Vec<Answer> {
        self.requests.try_iter().collect()
    }
}
