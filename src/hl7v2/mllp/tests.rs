use super::*;
use tokio::net::TcpStream;

fn framed(message: &str) -> Vec<u8> {
    [b"\x0b", message.as_bytes(), b"\x1c\r"].concat()
}

/// Feeds the parts one after the other; what came out, as text, `!` before an oversize one, and the codec.
fn feed(parts: &[&[u8]], limit: usize) -> (Result<Vec<String>, ()>, Codec) {
    let mut codec = Codec::new(limit);
    let mut buffer = BytesMut::new();
    let mut found = Vec::new();
    for part in parts {
        buffer.extend_from_slice(part);
        loop {
            match codec.decode(&mut buffer) {
                Ok(Some(Frame::Whole(bytes))) => found.push(String::from_utf8_lossy(&bytes).into_owned()),
                Ok(Some(Frame::Oversize(bytes))) => {
                    found.push(format!("!{}", bytes.len()));
                    return (Ok(found), codec);
                }
                Ok(None) => break,
                Err(_) => return (Err(()), codec),
            }
        }
        assert!(buffer.len() <= limit + part.len() + 1, "memory is bounded");
    }
    (Ok(found), codec)
}

#[test]
fn a_stream_split_anywhere_gives_the_same_frames() {
    let stream = [b"\r\n junk".as_slice(), &framed("MSH|a\rPID"), &framed("b"), b"x", &framed("")].concat();
    let expected = vec!["MSH|a\rPID".to_owned(), "b".to_owned(), String::new()];
    for at in 0..=stream.len() {
        let (head, tail) = stream.split_at(at);
        let (found, codec) = feed(&[head, tail], 100);
        assert_eq!((found, codec.discarded, codec.truncated), (Ok(expected.clone()), 8, 0), "split at {at}");
    }
    let single: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(feed(&single, 100).0, Ok(expected));
    let thousand = framed("m").repeat(1000);
    assert_eq!(feed(&[&thousand], 100).0.unwrap().len(), 1000);
}

#[test]
fn broken_frames_never_become_messages() {
    let check = |stream: &[u8], expected: Result<&[&str], ()>, truncated: u64| {
        let (found, codec) = feed(&[stream], 10);
        assert_eq!(found, expected.map(|list| list.iter().map(|text| (*text).to_owned()).collect()), "{stream:?}");
        assert_eq!(codec.truncated, truncated);
    };
    check(b"\x0bhalf\x0bwhole\x1c\r", Ok(&["whole"]), 1);
    check(b"\x0bhalf\x0b\x0bwhole\x1c\r", Ok(&["whole"]), 2);
    check(b"\x0bno end", Ok(&[]), 0);
    check(b"\x0bend\x1c", Ok(&[]), 0);
    check(b"\x0bend\x1cmore\x1c\r", Err(()), 0);
    check(b"no start\x1c\r", Ok(&[]), 0);
    check(b"\x0b0123456789\x1c\r", Ok(&["0123456789"]), 0);
    check(b"\x0b0123456789a\x1c\r", Ok(&["!13"]), 0);
    check(b"\x0b0123456789a", Ok(&["!11"]), 0);
}

#[test]
fn a_codec_ends_with_its_stream() {
    let mut codec = Codec::new(10);
    let mut buffer = BytesMut::from(b"\x0bhalf".as_slice());
    assert_eq!(codec.decode_eof(&mut buffer).unwrap(), None);
    assert_eq!((codec.truncated, codec.is_inside()), (1, false));
    let mut out = BytesMut::new();
    codec.encode(b"a\rb", &mut out).unwrap();
    assert_eq!(out.as_ref(), b"\x0ba\rb\x1c\r");
    assert!(codec.encode(b"a\x1cb", &mut out).is_err());
}

struct Running {
    address: SocketAddr,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

/// A server that answers `ACK <message>`; `slow` takes its time, `mute` gets no answer.
async fn run(limits: Limits) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let handler = |frame: Frame, _peer: SocketAddr| async move {
        match frame {
            Frame::Whole(bytes) if bytes.as_ref() == b"mute" => None,
            Frame::Whole(bytes) => {
                if bytes.as_ref() == b"slow" {
                    sleep(Duration::from_millis(200)).await;
                }
                Some(Bytes::from([b"ACK ", bytes.as_ref()].concat()))
            }
            Frame::Oversize(_) => Some(Bytes::from_static(b"AR")),
        }
    };
    let task = tokio::spawn(serve(listener, handler, stop.clone(), limits));
    Running { address, stop, task }
}

/// Everything until the server closes, or `count` bytes.
async fn read(stream: &mut TcpStream, count: usize) -> String {
    let mut got = Vec::new();
    while got.len() < count {
        let mut part = [0; 4096];
        match timeout(Duration::from_secs(5), stream.read(&mut part)).await.expect("an answer in time") {
            Ok(0) | Err(_) => break,
            Ok(n) => got.extend_from_slice(&part[..n]),
        }
    }
    String::from_utf8(got).unwrap()
}

#[tokio::test]
async fn answers_come_in_order_on_their_connection() {
    let server = run(Limits::default()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(&[framed("slow"), framed("mute"), framed("2")].concat()).await.unwrap();
    let expected = "\x0bACK slow\x1c\r\x0bACK 2\x1c\r";
    assert_eq!(read(&mut stream, expected.len()).await, expected);
    for part in framed("in five packets").chunks(4) {
        stream.write_all(part).await.unwrap();
        stream.flush().await.unwrap();
        sleep(Duration::from_millis(5)).await;
    }
    let expected = "\x0bACK in five packets\x1c\r";
    assert_eq!(read(&mut stream, expected.len()).await, expected);
    server.stop.cancel();
    server.task.await.unwrap();
}

#[tokio::test]
async fn a_stop_finishes_what_is_in_hand_and_takes_nothing_more() {
    let server = run(Limits::default()).await;
    let mut busy = TcpStream::connect(server.address).await.unwrap();
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    let mut half = TcpStream::connect(server.address).await.unwrap();
    busy.write_all(&[framed("slow"), framed("never")].concat()).await.unwrap();
    half.write_all(b"\x0bhalf").await.unwrap();
    sleep(Duration::from_millis(50)).await;
    server.stop.cancel();
    assert_eq!(read(&mut busy, usize::MAX).await, "\x0bACK slow\x1c\r");
    assert_eq!(read(&mut idle, usize::MAX).await, "");
    assert_eq!(read(&mut half, usize::MAX).await, "");
    timeout(Duration::from_secs(2), server.task).await.unwrap().unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn limits_close_connections() {
    let short = Duration::from_millis(60);
    let limits = Limits {
        frame: 10,
        connections: 2,
        between_bytes: short,
        message: short * 3,
        between_messages: short * 4,
        ..Limits::default()
    };
    let server = run(limits).await;
    let connect = || TcpStream::connect(server.address);
    let started = Instant::now();

    let mut stalled = connect().await.unwrap();
    stalled.write_all(b"\x0bhalf").await.unwrap();
    assert_eq!(read(&mut stalled, usize::MAX).await, "");
    assert!(started.elapsed() >= short && started.elapsed() < short * 4, "between bytes");

    let mut slow = connect().await.unwrap();
    for byte in b"\x0b12345678" {
        if slow.write_all(&[*byte]).await.is_err() {
            break;
        }
        sleep(short / 2).await;
    }
    assert_eq!(read(&mut slow, usize::MAX).await, "", "a message takes too long although its bytes keep coming");

    let mut large = connect().await.unwrap();
    large.write_all(&framed("01234567890123456789")).await.unwrap();
    assert_eq!(read(&mut large, usize::MAX).await, "\x0bAR\x1c\r");

    let (_one, _two) = (connect().await.unwrap(), connect().await.unwrap());
    sleep(short / 2).await;
    let mut third = connect().await.unwrap();
    assert_eq!(read(&mut third, usize::MAX).await, "", "one connection too many");
    server.stop.cancel();
    server.task.await.unwrap();
}
