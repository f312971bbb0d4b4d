"""What a stranger's model file may name: literal tables, so that a newer TensorFlow cannot widen them unseen.

Only names of mathematics stand here. Left out on purpose, because they run code or touch files: Lambda,
DropoutWrapper, ResidualWrapper and DeviceWrapper (marshalled functions), StringLookup, IntegerLookup,
TextVectorization and DenseFeatures (a vocabulary may be any path), TFSMLayer, JaxLayer, FlaxLayer,
TorchModuleWrapper, TensorFlowOpLayer (any graph node), ClassMethod and InstanceMethod (any attribute);
among graph operators every reader, writer, parser, table, data set, Print, PyFunc, ImmutableConst (maps
a file), Abort and RemoteCall.
"""

from __future__ import annotations


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# tf.initializers given to a Keras layer are written with this module.
INITIALIZERS_OF_TENSORFLOW = "tensorflow.python.ops.init_ops_v2"

# Values that are written as objects: of Keras's serialization_lib, and of json_utils in .h5 files.
VALUES = _names(
    """
    TensorShape __bytes__ __ellipsis__ __keras_tensor__ __numpy__ __slice__ __tensor__ __tuple__ slice
    """
)

# Layers of Keras 2 and 3, models, and the layers that tf_keras.applications brings along.
LAYERS = _names(
    """
    Activation ActivityRegularization AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D
    AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D Add AdditiveAttention AlphaDropout Attention
    AugMix AutoContrast Average AveragePooling1D AveragePooling2D AveragePooling3D AvgPool1D AvgPool2D AvgPool3D
    BatchNormalization BatchNormalizationV1 BatchNormalizationV2 Bidirectional CategoryEncoding CenterCrop
    Concatenate Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D
    Convolution1D Convolution1DTranspose Convolution2D Convolution2DTranspose Convolution3D Convolution3DTranspose
    Cropping1D Cropping2D Cropping3D CuDNNGRU CuDNNLSTM CustomScaleLayer CutMix Dense DepthwiseConv1D DepthwiseConv2D
    Discretization Dot Dropout ELU EinsumDense Embedding Equalization Flatten Functional GRU GRUCell GRUCellV1
    GRUCellV2 GRUV1 GRUV2 GaussianDropout GaussianNoise GlobalAveragePooling1D GlobalAveragePooling2D
    GlobalAveragePooling3D GlobalAvgPool1D GlobalAvgPool2D GlobalAvgPool3D GlobalMaxPool1D GlobalMaxPool2D
    GlobalMaxPool3D GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D GroupNormalization GroupQueryAttention
    GroupedQueryAttention Identity InputLayer InputSpec LSTM LSTMCell LSTMCellV1 LSTMCellV2 LSTMV1 LSTMV2
    LayerNormalization LayerScale LeakyReLU LocallyConnected1D LocallyConnected2D Masking MaxPool1D MaxPool2D
    MaxPool3D MaxPooling1D MaxPooling2D MaxPooling3D Maximum MelSpectrogram Minimum MixUp Model MultiHeadAttention
    Multiply Normalization PReLU Permute Pipeline RMSNormalization RNN RandAugment RandomBrightness
    RandomColorDegeneration RandomColorJitter RandomContrast RandomCrop RandomElasticTransform RandomErasing
    RandomFlip RandomGaussianBlur RandomGrayscale RandomHeight RandomHue RandomInvert RandomPerspective
    RandomPosterization RandomRotation RandomSaturation RandomSharpness RandomShear RandomTranslation RandomWidth
    RandomZoom ReLU RepeatVector Rescaling Reshape Resizing STFTSpectrogram SeparableConv1D SeparableConv2D
    SeparableConvolution1D SeparableConvolution2D Sequential SimpleRNN SimpleRNNCell SlicingOpLambda Softmax
    Solarization SpatialDropout1D SpatialDropout2D SpatialDropout3D SpectralNormalization StackedRNNCells Subtract
    SyncBatchNormalization TFOpLambda ThresholdedReLU TimeDistributed UnitNormalization UpSampling1D UpSampling2D
    UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D
    """
)

# Initialisers, regularisers, constraints, dtype policies, and what Keras 3's model.quantize() leaves in a file.
PARTS = _names(
    """
    AbsMaxQuantizer Constant DTypePolicy DTypePolicyMap Float8QuantizationConfig FloatDTypePolicy GlorotNormal
    GlorotUniform HeNormal HeUniform IdentityInitializer Int4QuantizationConfig Int8QuantizationConfig KerasTensor L1
    L1L2 L2 LecunNormal LecunUniform MaxNorm MinMaxNorm NonNeg Ones Orthogonal OrthogonalInitializer
    OrthogonalRegularizer Policy PolicyV1 QuantizedDTypePolicy RadialConstraint RandomNormal RandomUniform STFT
    STFTInitializer SeedGenerator TruncatedNormal UnitNorm VarianceScaling Zeros
    """
)

# Losses, metrics, optimisers and schedules: a compiled model nested in another one keeps them.
TRAINING = _names(
    """
    AUC Accuracy Adadelta Adafactor Adagrad Adam AdamW Adamax BinaryAccuracy BinaryCrossentropy
    BinaryFocalCrossentropy BinaryIoU CategoricalAccuracy CategoricalCrossentropy CategoricalFocalCrossentropy
    CategoricalHinge CosineDecay CosineDecayRestarts CosineSimilarity ExponentialDecay F1Score FBetaScore
    FalseNegatives FalsePositives Ftrl Hinge Huber InverseTimeDecay IoU KLDivergence Lion LogCosh LogCoshError Mean
    MeanAbsoluteError MeanAbsolutePercentageError MeanIoU MeanMetricWrapper MeanSquaredError
    MeanSquaredLogarithmicError Nadam OneHotIoU OneHotMeanIoU PiecewiseConstantDecay Poisson PolynomialDecay
    Precision PrecisionAtRecall R2Score RMSprop Recall RecallAtPrecision RootMeanSquaredError SGD
    SensitivityAtSpecificity SparseCategoricalAccuracy SparseCategoricalCrossentropy SparseTopKCategoricalAccuracy
    SpecificityAtSensitivity SquaredHinge Sum TopKCategoricalAccuracy TrueNegatives TruePositives
    """
)

# TF-MOT's wrappers and what they are configured with.
WRAPPERS = _names(
    """
    AllValuesQuantizer ClusterWeights ConstantSparsity Default8BitActivationQuantizeConfig
    Default8BitConvQuantizeConfig Default8BitConvTransposeQuantizeConfig Default8BitConvTransposeWeightsQuantizer
    Default8BitConvWeightsQuantizer Default8BitOutputQuantizeConfig Default8BitQuantizeConfig LastValueQuantizer
    MovingAverageQuantizer NoOpActivation NoOpQuantizeConfig OutputOnlyConfig PruneLowMagnitude QuantizeAnnotate
    QuantizeAwareActivation QuantizeLayer QuantizeWrapper QuantizeWrapperV2
    """
)

# keras.ops in a Keras 3 functional model. Map, Scan, Cond and WhileLoop take functions and are left out.
OPERATIONS = _names(
    """
    Abs Absolute All Amax Amin Any Append Arange Argmax Argmin Argsort Array Bincount BroadcastTo Ceil Clip Copy Cos
    Cosh CountNonzero Cross Cumprod Cumsum Diag Diagonal Diff Digitize Divide DivideNoNan Einsum Equal Exp Exp2
    ExpandDims Expm1 Fabs Flip Floor FloorDivide Fmax Fmin Full FullLike GetItem Greater GreaterEqual Hstack Inner
    Isclose Isfinite Isinf Isnan Less LessEqual Linspace Log Log10 Log1p Log2 Logaddexp LogicalAnd LogicalNot
    LogicalOr LogicalXor Matmul Max Median Meshgrid Min Mod Moveaxis NanToNum Ndim Negative Nonzero NotEqual
    OnesLike Outer Pad Power Prod Quantile Ravel Reciprocal Repeat Roll Round SearchSorted Select Sign Sin Sinh Size
    Sort Split Sqrt Square Squeeze Stack Std Swapaxes Take TakeAlongAxis Tan Tanh Tensordot Tile Trace Transpose
    Tril Triu TrueDivide Trunc Var Vdot Vstack Where ZerosLike
    AdaptiveAveragePool AdaptiveMaxPool AveragePool BatchNorm Celu Conv ConvTranspose DepthToSpace DepthwiseConv
    DotProductAttention Elu Fold Gelu Glu HardShrink HardSigmoid HardSilu HardTanh LayerNorm LeakyRelu LogSigmoid
    LogSoftmax MaxPool Moments MultiHot Normalize OneHot RMSNorm Relu Relu6 Selu SeparableConv Sigmoid Silu
    SoftShrink Softplus Softsign SpaceToDepth SparsePlus SparseSigmoid Sparsemax Squareplus TanhShrink Threshold
    Unfold
    AffineTransform Cast ConvertToTensor CropImages Erf ExtractPatches ExtractSequences FFT FFT2 GaussianBlur
    HSVToRGB IRFFT ISTFT InTopK Logsumexp Norm PadImages RFFT RGBToGrayscale RGBToHSV Resize Rsqrt SaturateCast
    Scatter ScatterUpdate SegmentMax SegmentSum Slice SliceUpdate StopGradient TopK Unstack
    """
)

CLASSES = VALUES | LAYERS | PARTS | TRAINING | WRAPPERS | OPERATIONS

# Functions that a config may name: activations, initialisers and their like, losses, metrics.
FUNCTIONS = _names(
    """
    celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu linear
    log_sigmoid log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus
    sparse_sigmoid sparsemax squareplus swish tanh tanh_shrink threshold
    constant glorot_normal glorot_uniform he_normal he_uniform identity l1 l1_l2 l2 lecun_normal lecun_uniform
    max_norm min_max_norm non_neg normal one ones orthogonal orthogonal_regularizer random_normal random_uniform
    stft truncated_normal uniform unit_norm variance_scaling zero zeros
    accuracy binary_accuracy binary_crossentropy binary_focal_crossentropy categorical_accuracy
    categorical_crossentropy categorical_focal_crossentropy categorical_hinge cosine_similarity hinge huber
    kl_divergence log_cosh mae mean_absolute_error mean_absolute_percentage_error mean_squared_error
    mean_squared_logarithmic_error mse poisson sparse_categorical_accuracy sparse_categorical_crossentropy
    sparse_top_k_categorical_accuracy squared_hinge top_k_categorical_accuracy
    """
)

# Where a TFOpLambda may take a function of SYMBOLS from, after compat.v1 is taken off.
NAMESPACES = frozenset(["", "__operators__", "math", "nn", "linalg", "image", "signal", "quantization"])
SYMBOLS = _names(
    """
    abs accumulate_n acos acosh add add_n argmax argmin argsort asin asinh atan atan2 atanh cast ceil
    confusion_matrix cos cosh count_nonzero cumprod cumsum cumulative_logsumexp divide divide_no_nan equal erf erfc
    erfinv exp expm1 floor floordiv floormod greater greater_equal in_top_k is_finite is_inf is_nan l2_normalize
    less less_equal lgamma log log1p log_sigmoid log_softmax logical_and logical_not logical_or logical_xor maximum
    minimum mod multiply multiply_no_nan negative nextafter not_equal pow reciprocal reciprocal_no_nan reduce_all
    reduce_any reduce_euclidean_norm reduce_logsumexp reduce_max reduce_mean reduce_min reduce_prod reduce_std
    reduce_sum reduce_variance rint round rsqrt segment_max segment_mean segment_min segment_prod segment_sum
    sigmoid sign sin sinh softmax softplus softsign sqrt square squared_difference subtract tan tanh top_k truediv
    unsorted_segment_max unsorted_segment_mean unsorted_segment_sum xdivy xlog1py xlogy zero_fraction
    atrous_conv2d atrous_conv2d_transpose avg_pool avg_pool1d avg_pool2d avg_pool3d batch_normalization
    batch_to_space bias_add conv1d conv1d_transpose conv2d conv2d_transpose conv3d conv3d_transpose conv_transpose
    convolution crelu depth_to_space depthwise_conv2d depthwise_conv2d_native dilation2d dropout elu
    embedding_lookup erosion2d fused_batch_norm gelu l2_loss leaky_relu local_response_normalization lrn max_pool
    max_pool1d max_pool2d max_pool3d max_pool_with_argmax moments normalize_moments pool relu relu6
    scale_regularization_loss selu separable_conv2d sigmoid_cross_entropy_with_logits silu
    softmax_cross_entropy_with_logits space_to_batch space_to_depth sufficient_statistics swish weighted_moments
    argsort bitcast boolean_mask broadcast_dynamic_shape broadcast_static_shape broadcast_to clip_by_global_norm
    clip_by_norm clip_by_value concat constant convert_to_tensor cross dynamic_partition dynamic_stitch einsum
    ensure_shape expand_dims extract_volume_patches eye fake_quant_with_min_max_args fake_quant_with_min_max_vars
    fake_quant_with_min_max_vars_per_channel fill gather gather_nd identity identity_n lin_space linspace meshgrid
    norm normalize one_hot ones ones_like pad parallel_stack quantize_and_dequantize quantize_and_dequantize_v2
    range rank repeat reshape reverse reverse_sequence roll scatter_nd searchsorted sequence_mask shape shape_n size
    slice sort split squeeze stack stop_gradient strided_slice tensor_scatter_nd_add tensor_scatter_nd_max
    tensor_scatter_nd_min tensor_scatter_nd_sub tensor_scatter_nd_update tensordot tile transpose truncatediv
    truncatemod unique unravel_index unstack where zeros zeros_like
    adjoint band_part det diag diag_part inv logdet matmul matrix_transpose matvec set_diag tensor_diag
    tensor_diag_part trace
    fft fft2d fftnd frame hamming_window hann_window ifft irfft linear_to_mel_weight_matrix mel_weight_matrix
    mfccs_from_log_mel_spectrograms overlap_and_add rfft rfft2d stft
    adjust_brightness adjust_contrast adjust_gamma adjust_hue adjust_saturation central_crop convert_image_dtype
    crop_and_resize crop_to_bounding_box extract_patches flip_left_right flip_up_down grayscale_to_rgb hsv_to_rgb
    image_gradients pad_to_bounding_box per_image_standardization psnr resize resize_bicubic resize_bilinear
    resize_nearest_neighbor resize_with_crop_or_pad resize_with_pad rgb_to_grayscale rgb_to_hsv rgb_to_yiq
    rgb_to_yuv rot90 sobel_edges ssim total_variation yiq_to_rgb yuv_to_rgb
    eq getitem ne ragged_getitem
    """
)

# Graph operators that compute and do nothing else; Assert may stop a run, no more.
OPERATORS = _names(
    """
    Abs AccumulateNV2 Acos Acosh Add AddN AddV2 All Angle Any ApproximateEqual ArgMax ArgMin Asin Asinh Atan Atan2
    Atanh BatchMatMul BatchMatMulV2 BatchMatMulV3 BesselI0 BesselI0e BesselI1 BesselI1e BesselJ0 BesselJ1 BesselK0
    BesselK0e BesselK1 BesselK1e BesselY0 BesselY1 Betainc Bincount BitwiseAnd BitwiseOr BitwiseXor Bucketize Cast
    Ceil ClipByValue Complex ComplexAbs Conj Cos Cosh Cross Cumprod Cumsum CumulativeLogsumexp Dawsn DenseBincount
    Digamma Div DivNoNan Einsum Equal Erf Erfc Erfinv EuclideanNorm Exp Expint Expm1 Floor FloorDiv FloorMod
    FresnelCos FresnelSin Greater GreaterEqual HistogramFixedWidth Igamma IgammaGradA Igammac Imag Inv InvGrad
    Invert IsFinite IsInf IsNan LeftShift Less LessEqual Lgamma LinSpace Log Log1p LogicalAnd LogicalNot LogicalOr
    MatMul Max Maximum Mean Min Minimum Mod Mul MulNoNan Ndtri Neg NextAfter NotEqual Polygamma PopulationCount Pow
    Prod QuantizeDownAndShrinkRange QuantizedAdd QuantizedMatMul QuantizedMul RaggedBincount Range Real RealDiv
    Reciprocal ReciprocalGrad RequantizationRange RequantizationRangePerChannel Requantize RequantizePerChannel
    RightShift Rint Roll Round Rsqrt RsqrtGrad SegmentMax SegmentMaxV2 SegmentMean SegmentMin SegmentMinV2
    SegmentProd SegmentProdV2 SegmentSum SegmentSumV2 Select SelectV2 Sigmoid SigmoidGrad Sign Sin Sinh SobolSample
    SparseBincount SparseMatMul SparseSegmentMean SparseSegmentMeanGrad SparseSegmentMeanGradV2
    SparseSegmentMeanWithNumSegments SparseSegmentSqrtN SparseSegmentSqrtNGrad SparseSegmentSqrtNGradV2
    SparseSegmentSqrtNWithNumSegments SparseSegmentSum SparseSegmentSumGrad SparseSegmentSumGradV2
    SparseSegmentSumWithNumSegments Spence Sqrt SqrtGrad Square SquaredDifference Sub Sum Tan Tanh TanhGrad
    TruncateDiv TruncateMod UnsortedSegmentMax UnsortedSegmentMin UnsortedSegmentProd UnsortedSegmentSum Xdivy
    Xlog1py Xlogy Zeta
    BatchMatrixBandPart BatchMatrixDiag BatchMatrixDiagPart BatchMatrixSetDiag BatchToSpace BatchToSpaceND Bitcast
    BroadcastArgs BroadcastGradientArgs BroadcastTo Concat ConcatOffset ConcatV2 ConjugateTranspose Const
    DepthToSpace Dequantize Diag DiagPart Empty EnsureShape ExpandDims ExtractImagePatches ExtractVolumePatches
    FakeQuantWithMinMaxArgs FakeQuantWithMinMaxArgsGradient FakeQuantWithMinMaxVars FakeQuantWithMinMaxVarsGradient
    FakeQuantWithMinMaxVarsPerChannel FakeQuantWithMinMaxVarsPerChannelGradient Fill Gather GatherNd GatherV2
    GuaranteeConst Identity IdentityN InplaceAdd InplaceSub InplaceUpdate InvertPermutation ListDiff LowerBound
    MatrixBandPart MatrixDiag MatrixDiagPart MatrixDiagPartV2 MatrixDiagPartV3 MatrixDiagV2 MatrixDiagV3
    MatrixSetDiag MatrixSetDiagV2 MatrixSetDiagV3 MirrorPad MirrorPadGrad OneHot OnesLike Pack Pad PadV2
    ParallelConcat Placeholder PlaceholderV2 PlaceholderWithDefault PreventGradient QuantizeAndDequantize
    QuantizeAndDequantizeV2 QuantizeAndDequantizeV3 QuantizeAndDequantizeV4 QuantizeAndDequantizeV4Grad QuantizeV2
    QuantizedConcat QuantizedInstanceNorm QuantizedReshape Rank Reshape ResourceStridedSliceAssign Reverse
    ReverseSequence ReverseV2 ScatterNd ScatterNdNonAliasingAdd Shape ShapeN Size Slice Snapshot SpaceToBatch
    SpaceToBatchND SpaceToDepth Split SplitV Squeeze StopGradient StridedSlice StridedSliceAssign StridedSliceGrad
    TensorScatterAdd TensorScatterMax TensorScatterMin TensorScatterSub TensorScatterUpdate TensorStridedSliceUpdate
    Tile TileGrad Transpose Unique UniqueV2 UniqueWithCounts UniqueWithCountsV2 Unpack UnravelIndex UpperBound Where
    ZerosLike
    ApproxTopK AvgPool AvgPool3D AvgPool3DGrad AvgPoolGrad BatchNormWithGlobalNormalization
    BatchNormWithGlobalNormalizationGrad BiasAdd BiasAddGrad BiasAddV1 Conv Conv2D Conv2DBackpropFilter
    Conv2DBackpropFilterV2 Conv2DBackpropInput Conv2DBackpropInputV2 Conv3D Conv3DBackpropFilter
    Conv3DBackpropFilterV2 Conv3DBackpropInput Conv3DBackpropInputV2 DataFormatDimMap DataFormatVecPermute
    DepthwiseConv2dNative DepthwiseConv2dNativeBackpropFilter DepthwiseConv2dNativeBackpropInput Dilation2D
    Dilation2DBackpropFilter Dilation2DBackpropInput Elu EluGrad FractionalAvgPool FractionalAvgPoolGrad
    FractionalMaxPool FractionalMaxPoolGrad FusedBatchNorm FusedBatchNormGrad FusedBatchNormGradV2
    FusedBatchNormGradV3 FusedBatchNormV2 FusedBatchNormV3 FusedPadConv2D FusedResizeAndPadConv2D InTopK InTopKV2
    IsotonicRegression L2Loss LRN LRNGrad LeakyRelu LeakyReluGrad LogSoftmax MaxPool MaxPool3D MaxPool3DGrad
    MaxPool3DGradGrad MaxPoolGrad MaxPoolGradGrad MaxPoolGradGradV2 MaxPoolGradGradWithArgmax MaxPoolGradV2
    MaxPoolGradWithArgmax MaxPoolV2 MaxPoolWithArgmax NthElement QuantizedAvgPool
    QuantizedBatchNormWithGlobalNormalization QuantizedBiasAdd QuantizedConv2D QuantizedConv2DAndRelu
    QuantizedConv2DAndReluAndRequantize QuantizedConv2DAndRequantize QuantizedConv2DPerChannel
    QuantizedConv2DWithBias QuantizedConv2DWithBiasAndRelu QuantizedConv2DWithBiasAndReluAndRequantize
    QuantizedConv2DWithBiasAndRequantize QuantizedConv2DWithBiasSignedSumAndReluAndRequantize
    QuantizedConv2DWithBiasSumAndRelu QuantizedConv2DWithBiasSumAndReluAndRequantize QuantizedDepthwiseConv2D
    QuantizedDepthwiseConv2DWithBias QuantizedDepthwiseConv2DWithBiasAndRelu
    QuantizedDepthwiseConv2DWithBiasAndReluAndRequantize QuantizedMatMulWithBias
    QuantizedMatMulWithBiasAndDequantize QuantizedMatMulWithBiasAndRelu QuantizedMatMulWithBiasAndReluAndRequantize
    QuantizedMatMulWithBiasAndRequantize QuantizedMaxPool QuantizedRelu QuantizedRelu6 QuantizedReluX Relu Relu6
    Relu6Grad ReluGrad Selu SeluGrad Softmax SoftmaxCrossEntropyWithLogits Softplus SoftplusGrad Softsign
    SoftsignGrad SparseSoftmaxCrossEntropyWithLogits TopK TopKV2
    BandedTriangularSolve BatchCholesky BatchCholeskyGrad BatchFFT BatchFFT2D BatchFFT3D BatchIFFT BatchIFFT2D
    BatchIFFT3D BatchMatrixDeterminant BatchMatrixInverse BatchMatrixSolve BatchMatrixSolveLs
    BatchMatrixTriangularSolve BatchSelfAdjointEig BatchSelfAdjointEigV2 BatchSvd Cholesky CholeskyGrad Eig Einsum
    FFT FFT2D FFT3D FFTND IFFT IFFT2D IFFT3D IFFTND IRFFT IRFFT2D IRFFT3D IRFFTND LogMatrixDeterminant Lu
    MatrixDeterminant MatrixExponential MatrixInverse MatrixLogarithm MatrixSolve MatrixSolveLs MatrixSquareRoot
    MatrixTriangularSolve Qr RFFT RFFT2D RFFT3D RFFTND SelfAdjointEig SelfAdjointEigV2 Svd TridiagonalMatMul
    TridiagonalSolve
    Assert Case ControlTrigger DynamicPartition DynamicStitch EmptyTensorList Enter Exit FakeParam For If LoopCond
    Merge NextIteration NoOp ParallelDynamicStitch PartitionedCall StatefulPartitionedCall StatelessCase StatelessIf
    StatelessWhile Switch TensorArrayCloseV3 TensorArrayConcatV3 TensorArrayGatherV3 TensorArrayReadV3
    TensorArrayScatterV3 TensorArraySizeV3 TensorArraySplitV3 TensorArrayV3 TensorArrayWriteV3 TensorListConcat
    TensorListConcatLists TensorListConcatV2 TensorListElementShape TensorListFromTensor TensorListGather
    TensorListGetItem TensorListLength TensorListPopBack TensorListPushBack TensorListPushBackBatch
    TensorListReserve TensorListResize TensorListScatter TensorListScatterIntoExistingList TensorListScatterV2
    TensorListSetItem TensorListSplit TensorListStack ToBool While
    AdjustContrast AdjustContrastv2 AdjustHue AdjustSaturation CombinedNonMaxSuppression CropAndResize
    CropAndResizeGradBoxes CropAndResizeGradImage DrawBoundingBoxes DrawBoundingBoxesV2 ExtractGlimpse
    ExtractGlimpseV2 GenerateBoundingBoxProposals HSVToRGB ImageProjectiveTransformV2 ImageProjectiveTransformV3
    NonMaxSuppression NonMaxSuppressionV2 NonMaxSuppressionV3 NonMaxSuppressionV4 NonMaxSuppressionV5
    NonMaxSuppressionWithOverlaps QuantizedResizeBilinear RGBToHSV RandomCrop ResizeArea ResizeBicubic
    ResizeBicubicGrad ResizeBilinear ResizeBilinearGrad ResizeNearestNeighbor ResizeNearestNeighborGrad
    SampleDistortedBoundingBox SampleDistortedBoundingBoxV2 ScaleAndTranslate ScaleAndTranslateGrad
    StatelessSampleDistortedBoundingBox
    Multinomial NonDeterministicInts ParameterizedTruncatedNormal RandomGamma RandomGammaGrad RandomPoisson
    RandomPoissonV2 RandomShuffle RandomStandardNormal RandomUniform RandomUniformInt RngReadAndSkip RngSkip
    StatefulRandomBinomial StatefulStandardNormal StatefulStandardNormalV2 StatefulTruncatedNormal StatefulUniform
    StatefulUniformFullInt StatefulUniformInt StatelessMultinomial StatelessParameterizedTruncatedNormal
    StatelessRandomBinomial StatelessRandomGammaV2 StatelessRandomGammaV3 StatelessRandomGetAlg
    StatelessRandomGetKeyCounter StatelessRandomGetKeyCounterAlg StatelessRandomNormal StatelessRandomNormalV2
    StatelessRandomPoisson StatelessRandomUniform StatelessRandomUniformFullInt StatelessRandomUniformFullIntV2
    StatelessRandomUniformInt StatelessRandomUniformIntV2 StatelessRandomUniformV2 StatelessShuffle
    StatelessTruncatedNormal StatelessTruncatedNormalV2 TruncatedNormal
    AssignAddVariableOp AssignSubVariableOp AssignVariableOp DestroyResourceOp DisableCopyOnRead ReadVariableOp
    ResourceGather ResourceGatherNd ResourceScatterAdd ResourceScatterDiv ResourceScatterMax ResourceScatterMin
    ResourceScatterMul ResourceScatterSub ResourceScatterUpdate VarHandleOp VarIsInitializedOp VariableShape
    CudnnRNN CudnnRNNBackprop CudnnRNNBackpropV2 CudnnRNNBackpropV3 CudnnRNNCanonicalToParams
    CudnnRNNCanonicalToParamsV2 CudnnRNNParamsSize CudnnRNNParamsToCanonical CudnnRNNParamsToCanonicalV2 CudnnRNNV2
    CudnnRNNV3
    """
)

# What a SavedModel's saver needs besides. Loading never runs it: TensorFlow restores by code of its own.
SAVER_OPERATORS = _names(
    """
    MergeV2Checkpoints RestoreV2 SaveV2 ShardedFilename StaticRegexFullMatch StringJoin
    """
)
