"""The exceptions and warnings of this package.

.. code-block:: text

    ServiceXLayerError
    ├── InvalidArgumentError (ValueError)
    ├── MissingExtraError (ImportError)
    ├── ConfigError
    │   └── UnknownBackendError
    ├── BackendError
    │   ├── BackendUnreachableError
    │   ├── AuthorizationError
    │   ├── ProtocolError
    │   └── UnknownRequestError
    ├── RequestError
    │   ├── TransformFatalError
    │   ├── TransformCanceledError
    │   ├── BadDatasetError
    │   ├── FailedFilesError
    │   ├── WaitTimeoutError
    │   ├── PartitionCountError
    │   └── CompletionOrderError
    ├── ResultError
    │   ├── CorruptResultError
    │   ├── MissingObjectError
    │   ├── TreeNotFoundError
    │   │   └── NoTreeError
    │   ├── AmbiguousTreeError
    │   └── SchemaMismatchError
    ├── FormError
    └── FunctionError

    ServiceXLayerWarning (UserWarning)
    ├── FailedFilesWarning
    ├── RepeatedInputsWarning
    └── InsecureClusterWarning

Each message says what was wrong, with what, and what to do. An exception holds nothing but its
message, so that it crosses process borders on a cluster.
"""


class ServiceXLayerError(Exception):
    """The base class of all exceptions of this package."""


class InvalidArgumentError(ServiceXLayerError, ValueError):
    """An argument has an invalid value."""


class MissingExtraError(ServiceXLayerError, ImportError):
    """A feature needs an optional dependency that is not installed."""


# Configuration


class ConfigError(ServiceXLayerError):
    """``servicex.yaml`` or a setting is missing or invalid."""


class UnknownBackendError(ConfigError):
    """The backend is not in ``servicex.yaml``."""


# The backend


class BackendError(ServiceXLayerError):
    """The ServiceX backend refused or failed to answer a call."""


class BackendUnreachableError(BackendError):
    """The backend did not answer within the timeouts, or its URL is invalid."""


class AuthorizationError(BackendError):
    """The backend or its object store rejected the credentials, or does not allow the call."""


class ProtocolError(BackendError):
    """The backend sent an answer that a ServiceX server does not send."""


class UnknownRequestError(BackendError):
    """The backend does not know the request: it is mistyped, deleted, or on another backend."""


# The request


class RequestError(ServiceXLayerError):
    """The request can't give the result."""


class TransformFatalError(RequestError):
    """The request ended as ``Fatal``."""


class TransformCanceledError(RequestError):
    """The request was canceled."""


class BadDatasetError(RequestError):
    """The lookup of the request's dataset failed."""


class FailedFilesError(RequestError):
    """Too many files failed: any with ``on_failed="raise"``, or more than ``max_failed``."""


class WaitTimeoutError(RequestError):
    """Nothing happened for the duration of the ``timeout`` setting."""


class PartitionCountError(RequestError):
    """The request has more files than the array has partitions: some would be lost."""


class CompletionOrderError(RequestError):
    """Two computations of a session would number the files of a request differently.

    Results of the two can't be combined. The message names both.
    """


# The result files


class ResultError(ServiceXLayerError):
    """A result file can't be read."""


class CorruptResultError(ResultError):
    """A result file is damaged: its bytes are not those that the server announced."""


class MissingObjectError(ResultError):
    """The object store does not have, or does not give, a result that the server reported."""


class TreeNotFoundError(ResultError):
    """The result file does not have the requested tree."""


class NoTreeError(TreeNotFoundError):
    """The result file has no tree with events."""


class AmbiguousTreeError(ResultError):
    """The result file has several trees, and none was chosen."""


class SchemaMismatchError(ResultError):
    """A result file does not match the form."""


class FormError(ServiceXLayerError):
    """The argument ``form`` can't be turned into a form."""


class FunctionError(ServiceXLayerError):
    """A function of the user failed: on the events of a file, on two results, or at the end.

    Its ``__cause__`` is the original error, on a cluster as well.
    """

    def __reduce__(self) -> tuple[type, tuple[object, ...], dict[str, object]]:
        """Pickle the cause, too, which exceptions leave behind."""
        return type(self), self.args, {"__cause__": self.__cause__}


# Warnings


class ServiceXLayerWarning(UserWarning):
    """The base class of all warnings of this package."""


class FailedFilesWarning(ServiceXLayerWarning):
    """Files of the request failed: as many partitions at the end of the array are empty."""


class RepeatedInputsWarning(ServiceXLayerWarning):
    """The request's dataset lists files more than once; each file is read once."""


class InsecureClusterWarning(ServiceXLayerWarning):
    """A token is sent to a Dask cluster over an unencrypted connection."""
