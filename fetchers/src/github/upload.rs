//! A file as the body of a request.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::fs::File;
use tokio::io::{AsyncRead, ReadBuf};

/// Bytes read at once.
const CHUNK: usize = 64 * 1024;

/// The next bytes of a file, as many as were announced: no more, and an error if there are fewer.
#[derive(Debug)]
pub(super) struct FileBody {
    file: File,
    left: u64,
    buffer: Vec<u8>,
}

impl FileBody {
    pub(super) fn new(file: File, size: u64) -> FileBody {
        FileBody { file, left: size, buffer: vec![0; CHUNK] }
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let FileBody { file, left, buffer } = &mut *self;
        if *left == 0 {
            return Poll::Ready(None);
        }
        let most = usize::try_from(*left).unwrap_or(CHUNK).min(CHUNK);
        let mut read = ReadBuf::new(&mut buffer[..most]);
        Poll::Ready(Some(match ready!(Pin::new(file).poll_read(cx, &mut read)) {
            Ok(()) if read.filled().is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(()) => {
                *left -= read.filled().len() as u64;
                Ok(Frame::data(Bytes::copy_from_slice(read.filled())))
            }
            Err(error) => Err(error),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
