"""The words that heads of packed files are made of: deflate's preset dictionary.

Part of the format: another dictionary is another version. RFC 1950, section 2.2.
"""

WORDS = (
    b'"given":[[0.5],[0.5]]},{"operation":"InputAdapter","input_shape":[3,32,32],"own":[[0.5071,'
    b'0.4867,0.4408],[0.2675,0.2565,0.2761]],"remains":{"operation":"RemovedBlocks","layers":{'
    b'"operation":"OpenAttention","layers":{"operation":"KeptChannels","in_features":"'
    b'out_features":"in_channels":"out_channels":"groups":"num_features":"ranks":[8,8],"kind":'
    b'"tucker","spatial","svd"}},"layers":{"fc":{"operation":"Factorized","activation_bits":null,'
    b'"outputs":["layer1.0","layer2.0","layer3.0","pool","maxpool","avgpool","features"],'
    b'"weights":"dropout":0.5,"input_dropout":0.2,"zoo":"resnet18","mobilenet_v2",'
    b'"condenser.models.torchvision_model","condenser.models.ShuffleNetV2","width":0.5,'
    b'"condenser.models.ShuffleNet","condenser.models.MobileNetV2","condenser.models.VGG",'
    b'"condenser.models.WideResNet","depth":40,"widen":2,"factor":"block","stages":'
    b'"versions":{},"layer1.0.downsample.0","layer2.0.shortcut.0","layer3.0.shortcut.0",'
    b'"features.0","features.3","classifier","layer3.1.conv1","layer3.2.conv2",'
    b'"operation":"FoldBatchNorm","pairs":[["conv1","bn1"],["layer1.0.conv1","layer1.0.bn1"],'
    b'["layer1.0.conv2","layer1.0.bn2"],["layer2.0.conv1","layer2.0.bn1"],'
    b'["layer2.0.conv2","layer2.0.bn2"],["layer3.0.conv1","layer3.0.bn1"],'
    b'["layer3.0.conv2","layer3.0.bn2"]]},"weight","plain","labels","sparse","f4","i1","i8",[],'
    b'{"format":1,"architecture":{"_target_":"condenser.models.ResNet","depth":20,'
    b'"widths":[16,16,32,64]},"input_shape":[3,32,32],"num_classes":100,"normalisation":'
    b'[[0.1307],[0.3081]],"operations":[{"operation":"Shared","layers":["fc1","fc2"],"bits":4,'
    b'"across":false},{"operation":"Sparse","layers":["conv1","conv2","fc1","fc2","fc3"]},'
    b'{"operation":"Quantized","layers":["conv1","conv2","fc1","fc2"],"bits":4,'
    b'"activation_bits":8,"images":1024,"widths":{"conv1":[8,8],"fc2":[8,8]},"tensors":[],'
    b'"affine":false,"from_zero":false}]}]"condenser.models.MLP","widths":[784,300,100]'
    b'["conv1","bn1"],["block1.across","block1.norm"],["block2.across","block2.norm"],'
    b'["block3.across","block3.norm"]]}]"condenser.models.Separable","width":16,'
    b'[{"format":1,"architecture":{"_target_":"condenser.models.LeNet5","widths":[20,50,500]},'
    b'"input_shape":[1,28,28],"num_classes":10,"normalisation":[[0.286],[0.353]],"operations":[]},'
)
