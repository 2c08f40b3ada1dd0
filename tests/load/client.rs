//! A client that costs little: one connection that is kept, requests as bytes, bodies by their length or in chunks.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
};

pub struct Connection {
    stream: BufReader<TcpStream>,
    line: String,
    /// The body of the last answer.
    pub body: Vec<u8>,
}

impl Connection {
    /// `address` is `host:port`.
    pub fn open(address: &str) -> Connection {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Connection {
            stream: BufReader::with_capacity(1 << 16, stream),
            line: String::new(),
            body: Vec::new(),
        }
    }

    /// Sends a request and reads its answer whole; anything but 200 ends the bench.
    pub fn ask(&mut self, request: &[u8]) {
        self.stream.get_mut().write_all(request).unwrap();
        self.body.clear();
        self.read_line();
        let status = self.line.clone();
        let (mut length, mut chunked) = (0, false);
        loop {
            self.read_line();
            if self.line.is_empty() {
                break;
            }
            let (name, value) = self.line.split_once(':').unwrap();
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap();
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                chunked = true;
            }
        }
        if chunked {
            self.chunks();
        } else {
            self.take(length);
        }
        let text = || String::from_utf8_lossy(&self.body);
        assert!(status.contains(" 200 "), "{status} {}", text());
        assert!(!self.body.starts_with(br#"{"errors"#), "{}", text());
    }

    fn chunks(&mut self) {
        loop {
            self.read_line();
            let size = usize::from_str_radix(self.line.trim(), 16).unwrap();
            self.take(size);
            self.read_line();
            if size == 0 {
                return;
            }
        }
    }

    fn take(&mut self, length: usize) {
        let from = self.body.len();
        self.body.resize(from + length, 0);
        self.stream.read_exact(&mut self.body[from..]).unwrap();
    }

    fn read_line(&mut self) {
        self.line.clear();
        assert!(self.stream.read_line(&mut self.line).unwrap() > 0, "the server has closed the connection");
        self.line.truncate(self.line.trim_end().len());
    }
}
